package web

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// standing is how a task is doing, in one word; the most urgent one that is true.
type standing string

const (
	setAside standing = "set aside" // cannot be decided: see its fault
	late     standing = "late"      // its next run has been due for longer than lateAfter
	failing  standing = "failing"   // its last run failed or was lost
	running  standing = "running"
	disabled standing = "disabled"
	paused   standing = "paused"
	waiting  standing = "waiting"  // for its next run
	finished standing = "finished" // nothing is owed any more, or not before a run has ended
)

// standings lists them all, for the filter.
var standings = []standing{running, waiting, failing, late, paused, disabled, setAside, finished}

// lateAfter is how long a task's next run may be due before pages call it late: the bound of Health.
const lateAfter = time.Minute

// brief is what lists show of a task.
type brief struct {
	ID, Name, Kind, Schedule string
	Labels                   map[string]string
	Standing                 standing
	NextRunAt                time.Time
	Active                   int
	LastRun                  string // id
	LastState                punctual.State
	LastAt                   time.Time
}

func briefOf(s *punctual.Snapshot, now time.Time) brief {
	b := brief{
		ID: s.Task.ID, Name: cmp.Or(s.Task.Name, s.Task.ID), Kind: s.Task.Kind, Labels: s.Task.Labels,
		Standing: standingOf(s, now), NextRunAt: s.NextRunAt, Active: s.Active,
	}
	if s.Task.Schedule != nil {
		b.Schedule = s.Task.Schedule.String()
	}
	if run := s.LastRun; run != nil {
		b.LastRun, b.LastState, b.LastAt = run.ID, run.State, latest(run.FinishedAt, run.StartedAt, run.ScheduledAt)
	}
	return b
}

func standingOf(s *punctual.Snapshot, now time.Time) standing {
	switch {
	case s.Fault != "":
		return setAside
	case s.Task.Disabled && s.Active == 0:
		return disabled
	case s.Paused && s.Active == 0:
		return paused
	case isLate(s.NextRunAt, now):
		return late
	case s.Active > 0:
		return running
	case s.LastRun != nil && (s.LastRun.State == punctual.StateFailed || s.LastRun.State == punctual.StateLost):
		return failing
	case s.NextRunAt.IsZero():
		return finished
	default:
		return waiting
	}
}

func isLate(next, now time.Time) bool { return !next.IsZero() && now.Sub(next) > lateAfter }

// latest returns the first of the times that is set.
func latest(times ...time.Time) time.Time { return cmp.Or(times...) }

// survey is a look at all tasks.
type survey struct {
	tasks  []brief        // by id
	cut    bool           // there are more than MaxSurvey
	counts map[string]int // by standing
}

// survey reads all tasks, at most MaxSurvey, page by page.
func (d *dashboard) survey(ctx context.Context) (survey, error) {
	return d.surveys.get(ctx, "", func(ctx context.Context, _ survey) (survey, error) {
		found := survey{counts: make(map[string]int)}
		now := d.clock.Now()
		q := punctual.TaskQuery{Limit: punctual.MaxLimit}
		for {
			page, err := d.s.Tasks(ctx, q)
			if err != nil {
				return survey{}, err
			}
			for i := range page {
				b := briefOf(&page[i], now)
				found.tasks = append(found.tasks, b)
				found.counts[string(b.Standing)]++
			}
			switch {
			case len(page) < punctual.MaxLimit:
				return found, nil
			case len(found.tasks) >= MaxSurvey:
				found.cut = true
				return found, nil
			}
			q.After = page[len(page)-1].Task.ID
		}
	})
}

// upcoming returns the tasks whose next run lies before the given time, soonest first, at most n of them, and how many there are.
func (s *survey) upcoming(before time.Time, n int) ([]brief, int) {
	var found []brief
	for i := range s.tasks {
		if t := &s.tasks[i]; !t.NextRunAt.IsZero() && t.NextRunAt.Before(before) {
			found = append(found, *t)
		}
	}
	slices.SortFunc(found, func(a, b brief) int { return cmp.Or(a.NextRunAt.Compare(b.NextRunAt), strings.Compare(a.ID, b.ID)) })
	return found[:min(n, len(found))], len(found)
}

// in returns the first n tasks with one of the standings.
func (s *survey) in(n int, of ...standing) []brief {
	var found []brief
	for i := range s.tasks {
		if len(found) == n {
			break
		}
		if slices.Contains(of, s.tasks[i].Standing) {
			found = append(found, s.tasks[i])
		}
	}
	return found
}

// taskList is what a page of tasks asks for.
type taskList struct {
	Search, Kind string
	Labels       []string // key=value
	Standing     standing
	Sort         string // "id", "name", "next" or "last"; a minus in front turns the order round
	Limit        int
	After        string // id of the last task of the page before, for the order by id without standing
	Page         int    // for all others, from 1
}

// taskPage is one page of tasks.
type taskPage struct {
	Tasks []brief
	After string // cursor of the next page; empty when there is none or Next is set
	Next  int    // number of the next page; 0 when there is none
	Total int    // how many match; -1 when that is unknown
	Cut   bool   // more tasks exist than were looked at
}

var taskOrders = map[string]func(a, b *brief) int{
	"id":   func(a, b *brief) int { return 0 },
	"name": func(a, b *brief) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) },
	"next": func(a, b *brief) int { return compareSet(a.NextRunAt, b.NextRunAt) },
	"last": func(a, b *brief) int { return -compareSet(b.LastAt, a.LastAt) },
}

// compareSet orders times, those that are not set last.
func compareSet(a, b time.Time) int {
	switch {
	case a.IsZero() || b.IsZero():
		return cmp.Compare(btoi(a.IsZero()), btoi(b.IsZero()))
	default:
		return a.Compare(b)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tasks answers a list: from the store when its order by id will do, else from the survey.
func (d *dashboard) tasks(ctx context.Context, q taskList) (taskPage, error) {
	if q.Standing == "" && q.Sort == "id" {
		return d.tasksByID(ctx, q)
	}
	all, err := d.survey(ctx)
	if err != nil {
		return taskPage{}, err
	}
	labels := labelMap(q.Labels)
	var found []*brief
	for i := range all.tasks {
		if t := &all.tasks[i]; t.matches(q, labels) {
			found = append(found, t)
		}
	}
	order, descending := strings.CutPrefix(q.Sort, "-")
	compare := taskOrders[order]
	slices.SortStableFunc(found, func(a, b *brief) int {
		c := cmp.Or(compare(a, b), strings.Compare(a.ID, b.ID))
		if descending {
			return -c
		}
		return c
	})
	page := taskPage{Total: len(found), Cut: all.cut}
	from := min((q.Page-1)*q.Limit, len(found))
	to := min(from+q.Limit, len(found))
	for _, t := range found[from:to] {
		page.Tasks = append(page.Tasks, *t)
	}
	if to < len(found) {
		page.Next = q.Page + 1
	}
	return page, nil
}

func (d *dashboard) tasksByID(ctx context.Context, q taskList) (taskPage, error) {
	snapshots, err := d.s.Tasks(ctx, punctual.TaskQuery{
		Labels: labelMap(q.Labels), Kind: q.Kind, Search: q.Search, Limit: q.Limit + 1, After: q.After,
	})
	if err != nil {
		return taskPage{}, err
	}
	page := taskPage{Total: -1}
	if len(snapshots) > q.Limit {
		snapshots = snapshots[:q.Limit]
		page.After = snapshots[q.Limit-1].Task.ID
	} else if q.After == "" {
		page.Total = len(snapshots)
	}
	now := d.clock.Now()
	for i := range snapshots {
		page.Tasks = append(page.Tasks, briefOf(&snapshots[i], now))
	}
	return page, nil
}

func labelMap(labels []string) map[string]string {
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		m[key] = value
	}
	return m
}

func (b *brief) matches(q taskList, labels map[string]string) bool {
	if q.Standing != "" && b.Standing != q.Standing || q.Kind != "" && b.Kind != q.Kind {
		return false
	}
	for key, value := range labels {
		if have, ok := b.Labels[key]; !ok || have != value {
			return false
		}
	}
	return q.Search == "" || containsFold(b.ID, q.Search) || containsFold(b.Name, q.Search)
}

// containsFold is how stores search: ASCII letters match in either case.
func containsFold(s, part string) bool { return strings.Contains(lowerASCII(s), lowerASCII(part)) }

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
