package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// What is due stands in lanes, one for each kind and priority: within a lane due order is the order of the index, so what is due of kinds that
// are not asked for costs nothing, however much it is. A statement has one part for each lane, with constants for its kind and priority,
// since the server follows an index from a value to the next one only if it knows the values beforehand. So the Store remembers which lanes
// there are, and each statement also looks between those for lanes that are new.
const (
	dueTasks = `(SELECT id, kind, priority, next_us AS due, next_us - ? AS rank_us, 0 AS what
		FROM {tasks} FORCE INDEX (tasks_due)
		WHERE kind = ? AND priority = ? AND next_us <= ? AND fault = '' AND format <= ?`
	dueTasksOrder = ` ORDER BY next_us, id LIMIT ?)`

	dueRuns = `(SELECT r.task_id, r.kind, r.priority, r.due_us AS due, r.due_us - ? AS rank_us, 1 AS what
		FROM {runs} AS r FORCE INDEX (runs_due) STRAIGHT_JOIN {tasks} AS t ON t.id = r.task_id
		WHERE r.state = 'pending' AND r.kind = ? AND r.priority = ? AND r.due_us <= ? AND t.fault = '' AND t.format <= ?`
	dueRunsOrder = ` ORDER BY r.due_us, r.id LIMIT ?)`

	// newTasks and newRuns look for a lane in one of the gaps between those that are known.
	newTasks = `(SELECT '' AS id, kind, priority, 0 AS due, ` + beforeAll + ` AS rank_us, 2 AS what FROM {tasks} FORCE INDEX (tasks_due) WHERE `
	newRuns  = `(SELECT '' AS task_id, kind, priority, 0 AS due, ` + beforeAll + ` AS rank_us, 3 AS what FROM {runs} FORCE INDEX (runs_due)
		WHERE state = 'pending' AND `

	inKind    = `kind = ? AND priority > ? AND priority < ? LIMIT 1)`
	afterKind = `kind > ? LIMIT 1)`
	fromKind  = `kind > ? AND kind < ? LIMIT 1)`

	inDueOrder = ` ORDER BY rank_us, id LIMIT ?`

	// lockDueTasks locks the first due tasks of a lane that nobody else has locked. It walks along the index and locks no row more than it
	// returns, so that several instances at the same moment get different tasks.
	lockDueTasks = `SELECT ` + taskColumns + ` FROM {tasks} FORCE INDEX (tasks_due)
		WHERE kind = ? AND priority = ? AND next_us <= ? AND fault = '' AND format <= ? ORDER BY next_us, id LIMIT ? FOR UPDATE SKIP LOCKED`
)

const (
	forever   = int64(math.MaxInt64) // the bound of times that has none
	beforeAll = "-9000000000000000000"
)

// what says what a row of find is.
type what uint8

const (
	dueTask what = iota // a task that is due by itself
	dueRun              // a task with a run that is due
	newTaskLane
	newRunLane
)

var tasksAndRuns = []what{dueTask, dueRun}

// lane is one kind at one priority.
type lane struct {
	kind     string
	priority int
}

// head is the priority by which the due times of a lane count as earlier.
func (l lane) head() int64 { return int64(l.priority) * punctual.PriorityStep.Microseconds() }

func (l lane) compare(m lane) int {
	return cmp.Or(cmp.Compare(l.kind, m.kind), cmp.Compare(l.priority, m.priority))
}

// lanes remembers the lanes of tasks and of pending runs that were ever seen, in order.
type lanes struct {
	mu    sync.Mutex // guards known
	known [2][]lane  // by dueTask and dueRun
}

func (r *lanes) of(w what) []lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[w]
}

func (r *lanes) add(w what, l lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, there := slices.BinarySearchFunc(r.known[w], l, lane.compare); !there {
		r.known[w] = slices.Insert(slices.Clone(r.known[w]), i, l) // readers go on with what they have
	}
}

// candidate is a task for which something is due.
type candidate struct {
	lane
	id        string
	due, rank int64
	what      what
}

// Place is that in due order.
func (c candidate) Place() (rank int64, id string) { return c.rank, c.id }

func scanCandidate(rows *sql.Rows) (c candidate, err error) {
	return c, rows.Scan(&c.id, &c.kind, &c.priority, &c.due, &c.rank, &c.what)
}

// search is a statement about lanes while it is put together.
type search struct {
	parts []string
	args  []any
	gaps  int
}

func (q *search) part(text string, args ...any) {
	q.parts, q.args = append(q.parts, text), append(q.args, args...)
}

// between looks for lanes of one kind between two priorities.
func (q *search) between(head, kind string, above, below int) {
	if below-above > 1 {
		q.part(head+inKind, kind, above, below)
		q.gaps++
	}
}

// around looks for lanes of some kinds, nil means all, that are not among the known ones.
func (q *search) around(head string, kinds []string, known []lane) {
	const low, high = punctual.MinPriority - 1, punctual.MaxPriority + 1
	if kinds == nil {
		kinds = kindsOf(known)
		from := ""
		for i, kind := range kinds {
			if i == 0 {
				from = kind
				q.part(head+`kind < ? LIMIT 1)`, kind)
			} else {
				q.part(head+fromKind, from, kind)
				from = kind
			}
			q.gaps++
		}
		if len(kinds) == 0 {
			q.part(head + `kind >= '' LIMIT 1)`)
		} else {
			q.part(head+afterKind, from)
		}
		q.gaps++
	}
	for _, kind := range kinds {
		above := low
		for _, l := range known {
			if l.kind == kind {
				q.between(head, kind, above, l.priority)
				above = l.priority
			}
		}
		q.between(head, kind, above, high)
	}
}

func kindsOf(known []lane) []string {
	kinds := make([]string, len(known))
	for i, l := range known {
		kinds[i] = l.kind
	}
	return slices.Compact(kinds)
}

// wants reports whether the claim is about a kind, and anything of it may still be started.
func (c *claim) wants(kind string) bool {
	return c.left.Admits(kind) && (c.req.Kinds == nil || slices.Contains(c.req.Kinds, kind))
}

// find returns up to limit tasks for which something is due, in due order, each once, without those that were passed over.
func (c *claim) find(limit int, passed []string, of []what) ([]candidate, error) {
	found, err := c.t.store.find(c.t.ctx, c.t.querier, c.req.Kinds, c.left.Admits, c.reply.Now.UnixMicro(), limit, passed, of)
	if err != nil {
		return nil, err
	}
	return ledger.FirstDue(found, limit), nil
}

// next is when the first item of the kinds that are asked for is due; zero when none is.
func (c *claim) next() (time.Time, error) {
	found, err := c.t.store.find(c.t.ctx, c.t.querier, c.req.Kinds, c.left.Admits, forever, 1, nil, tasksAndRuns)
	if err != nil || len(found) == 0 {
		return time.Time{}, err
	}
	first := slices.MinFunc(found, func(a, b candidate) int { return cmp.Compare(a.due, b.due) })
	return fromMicros(first.due), nil
}

// find returns the first items of each lane that are due until a time, and all that are among the first of all lanes. Of which lanes it
// returns some is said by of; it always looks for new ones of both.
func (s *Store) find(ctx context.Context, q querier, kinds []string, admits func(string) bool, until int64, limit int, passed []string, of []what) ([]candidate, error) {
	for {
		var look search
		for _, w := range tasksAndRuns {
			query, order, id, gap := dueTasks, dueTasksOrder, "id", newTasks
			if w == dueRun {
				query, order, id, gap = dueRuns, dueRunsOrder, "r.task_id", newRuns
			}
			known := s.lanes.of(w)
			look.around(gap, kinds, known)
			for _, l := range known {
				if !slices.Contains(of, w) || !admits(l.kind) || kinds != nil && !slices.Contains(kinds, l.kind) {
					continue
				}
				args := []any{l.head(), l.kind, l.priority, until, punctual.TaskFormat}
				without := ""
				if len(passed) > 0 {
					without, args = " AND "+id+" NOT IN (?)", append(args, passed)
				}
				look.part(query+without+order, append(args, limit)...)
			}
		}
		if len(look.parts) == 0 {
			return nil, nil
		}
		query, args := strings.Join(look.parts, "\nUNION ALL\n"), look.args
		if limit > 1 {
			query, args = query+inDueOrder, append(args, limit+look.gaps)
		}
		found, err := read(ctx, s, q, scanCandidate, query, args...)
		if err != nil {
			return nil, err
		}
		more := false
		found = slices.DeleteFunc(found, func(c candidate) bool {
			if c.what == dueTask || c.what == dueRun {
				return false
			}
			s.lanes.add(c.what-newTaskLane, c.lane)
			more = true
			return true
		})
		if !more {
			return found, nil
		}
	}
}
