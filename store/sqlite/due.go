package sqlite

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// What is due stands in lanes, one for each kind and priority: within a lane due order is the order of the index. So what is due of kinds
// that are not asked for costs nothing, however much it is. Statements about lanes look at one table each; its words are filled in by
// ofTasks and ofRuns. Their parameter 1 is the format that the library knows.
const (
	// selectLanes finds the lanes of the kinds in 2, and when the first item of each is due.
	selectLanes = `SELECT kinds.value, ranks.value, (` + laneDue + `) AS first FROM json_each(?2) AS kinds, json_each(?3) AS ranks WHERE first IS NOT NULL`

	// selectAllLanes steps from kind to kind along the index.
	selectAllLanes = `WITH RECURSIVE kinds (value) AS (
			SELECT (SELECT kind FROM {table} WHERE {owed} AND kind >= '' ORDER BY kind LIMIT 1)
			UNION ALL
			SELECT (SELECT kind FROM {table} WHERE {owed} AND kind > kinds.value ORDER BY kind LIMIT 1) FROM kinds WHERE kinds.value IS NOT NULL)
		SELECT kinds.value, ranks.value, (` + laneDue + `) AS first FROM kinds, json_each(?3) AS ranks
		WHERE kinds.value IS NOT NULL AND first IS NOT NULL`

	laneDue = `SELECT {due} FROM {table} WHERE {owed} AND kind = kinds.value AND priority = ranks.value AND {known} ORDER BY {due} LIMIT 1`

	// selectDue lists what is due of one lane until a time. Of a task all is read at once, and whether it has live runs.
	selectDue = `SELECT {found} FROM {table} WHERE {owed} AND kind = ?2 AND priority = ?3 AND {due} <= ?4 AND {known} ORDER BY {due}, id LIMIT ?5`
)

// ofTasks and ofRuns make statements about tasks that owe an occurrence, and about pending runs.
var (
	ofTasks = strings.NewReplacer("{table}", "tasks", "{found}", taskColumns+", EXISTS (SELECT 1 FROM runs WHERE task_id = tasks.id"+live+")", "{due}", "next_us",
		"{owed}", "next_us IS NOT NULL AND fault = ''", "{known}", "format <= ?1").Replace
	ofRuns = strings.NewReplacer("{table}", "runs", "{found}", "task_id, due_us", "{due}", "due_us",
		"{owed}", "state = 'pending' AND due_us IS NOT NULL",
		"{known}", "EXISTS (SELECT 1 FROM tasks AS t WHERE t.id = runs.task_id AND t.fault = '' AND t.format <= ?1)").Replace

	// sources are the two tables in which something may be due.
	sources = []source{
		{lanes: ofTasks(selectLanes), all: ofTasks(selectAllLanes), due: ofTasks(selectDue), scan: (*claim).scanDueTask},
		{lanes: ofRuns(selectLanes), all: ofRuns(selectAllLanes), due: ofRuns(selectDue), scan: (*claim).scanDueRun},
	}
)

type source struct {
	lanes, all, due string
	scan            func(*claim, rows) (candidate, error) // a row of due
}

// priorities are all that there are, as a JSON list.
var priorities = func() string {
	var all []int
	for p := punctual.MinPriority; p <= punctual.MaxPriority; p++ {
		all = append(all, p)
	}
	return jsonList(all)
}()

// lane is one lane of one table in which something is due now or later.
type lane struct {
	source   *source
	kind     string
	priority int64
	first    int64 // when its first item is due
}

// head is the priority by which the due times of a lane count as earlier.
func (l lane) head() int64 { return l.priority * punctual.PriorityStep.Microseconds() }

// lanesOf finds the lanes of some kinds; nil means all.
func lanesOf(ctx context.Context, q querier, kinds []string) ([]lane, error) {
	var found []lane
	for i := range sources {
		from := &sources[i]
		query := from.lanes
		if kinds == nil {
			query = from.all
		}
		some, err := collect(ctx, q, func(rows rows) (lane, error) {
			l := lane{source: from}
			return l, rows.Scan(&l.kind, &l.priority, &l.first)
		}, query, punctual.TaskFormat, jsonList(kinds), priorities)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

// candidate is a task for which something is due.
type candidate struct {
	id, kind string
	rank     int64 // its place in due order
}

// Place is that in due order.
func (c candidate) Place() (rank int64, id string) { return c.rank, c.id }

// find returns the tasks for which something is due, up to the limit of the request, in due order, each once.
func (c *claim) find(q querier, all []lane, now int64) ([]candidate, error) {
	limit := c.req.Limit
	ready := slices.DeleteFunc(slices.Clone(all), func(l lane) bool { return l.first > now || !c.left.Admits(l.kind) })
	slices.SortFunc(ready, func(a, b lane) int { return cmp.Compare(a.first-a.head(), b.first-b.head()) })
	var found []candidate
	last := int64(math.MaxInt64) // the rank of the limit-th that was found: what comes behind it need not be read
	for _, l := range ready {
		if l.first-l.head() > last {
			break
		}
		until := now
		if last < math.MaxInt64 {
			until = min(now, last+l.head())
		}
		some, err := collect(c.ctx, q, func(rows rows) (candidate, error) {
			d, err := l.source.scan(c, rows)
			d.kind = l.kind
			d.rank -= l.head()
			return d, err
		}, l.source.due, punctual.TaskFormat, l.kind, l.priority, until, limit)
		if err != nil {
			return nil, err
		}
		found = ledger.FirstDue(append(found, some...), limit)
		if len(found) == limit {
			last = found[limit-1].rank
		}
	}
	return found, nil
}

// scanDueTask keeps the task, too.
func (c *claim) scanDueTask(rows rows) (candidate, error) {
	t, err := c.due.scan(rows)
	return candidate{id: t.id, rank: t.Status.NextRunAt.UnixMicro()}, err
}

func (c *claim) scanDueRun(rows rows) (d candidate, err error) {
	err = rows.Scan(&d.id, &d.rank)
	return d, err
}

// next is when the first item of some lanes is due.
func (c *claim) next(all []lane) (us int64, ok bool) {
	us = math.MaxInt64
	for _, l := range all {
		if c.left.Admits(l.kind) && l.first < us {
			us, ok = l.first, true
		}
	}
	return us, ok
}
