package web

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// Bounds of the timeline.
const (
	ganttRows = 40  // tasks or instances
	ganttBars = 400 // in a row; what is beyond is said
	ganttUnit = 1000
)

// spans are the lengths of the past and of the future that the timeline offers.
var spans = []window{
	{Name: "15m", Words: "15 minutes", Span: 15 * time.Minute},
	{Name: "1h", Words: "hour", Span: time.Hour},
	{Name: "6h", Words: "6 hours", Span: 6 * time.Hour},
	{Name: "24h", Words: "day", Span: 24 * time.Hour},
}

// gantt is what ran and what will run.
type gantt struct {
	Span     window
	ByWhat   string // "task" or "instance"
	From, To time.Time
	Now      time.Time
	NowX     int
	Ticks    []time.Time
	Rows     []*ganttRow
	Cut      bool // there are more rows
	Since    time.Time
}

type ganttRow struct {
	ID, Name string
	Bars     []ganttBar
	Cut      bool
	newest   time.Time
}

type ganttBar struct {
	X, W  int // in thousandths of the span
	Class string
	Title string
	RunID string // empty for what will run
}

func (d *dashboard) gantt(ctx context.Context, spanName, by string) (*gantt, error) {
	if spanName == "" {
		spanName = "1h"
	}
	i := slices.IndexFunc(spans, func(w window) bool { return w.Name == spanName })
	if i < 0 || by != "" && by != "task" && by != "instance" {
		return nil, fmt.Errorf("%w: the timeline shows 15m, 1h, 6h or 24h, by task or by instance", errBadRequest)
	}
	h, err := d.history(ctx)
	if err != nil {
		return nil, err
	}
	all, err := d.survey(ctx)
	if err != nil {
		return nil, err
	}
	now := d.clock.Now().UTC()
	g := &gantt{Span: spans[i], ByWhat: cmp.Or(by, "task"), Now: now, From: now.Add(-spans[i].Span), To: now.Add(spans[i].Span)}
	if h.since.After(g.From) {
		g.Since = h.since
	}
	for q := range int64(5) {
		g.Ticks = append(g.Ticks, g.From.Add(time.Duration(q)*g.To.Sub(g.From)/4))
	}
	g.NowX = g.x(now)
	rows := make(map[string]*ganttRow)
	for i := range h.facts {
		g.addRun(rows, &h.facts[i])
	}
	if g.ByWhat == "task" {
		soon, _ := all.upcoming(g.To, ganttRows)
		for _, b := range soon {
			if err := d.addPlanned(ctx, g, rows, &b); err != nil {
				return nil, err
			}
		}
	}
	for _, row := range rows {
		g.Rows = append(g.Rows, row)
	}
	slices.SortFunc(g.Rows, func(a, b *ganttRow) int { return cmp.Or(b.newest.Compare(a.newest), strings.Compare(a.ID, b.ID)) })
	if len(g.Rows) > ganttRows {
		g.Rows, g.Cut = g.Rows[:ganttRows], true
	}
	slices.SortFunc(g.Rows, func(a, b *ganttRow) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return g, nil
}

func (g *gantt) x(t time.Time) int {
	return int(t.Sub(g.From) * ganttUnit / g.To.Sub(g.From))
}

// addRun draws what a run took, from the begin of its first attempt to its end or to now. What never began is a mark at its time.
func (g *gantt) addRun(rows map[string]*ganttRow, f *fact) {
	from, to := latest(f.Began, f.Scheduled), latest(f.Finished, g.Now)
	switch f.State {
	case punctual.StateSkipped, punctual.StateMissed:
		from, to = f.Scheduled, latest(f.Until, f.Scheduled)
	case punctual.StatePending:
		from = latest(f.Due, f.Scheduled)
		to = from
	}
	if to.Before(g.From) || from.After(g.To) {
		return
	}
	id, name := f.TaskID, cmp.Or(f.TaskName, f.TaskID)
	if g.ByWhat == "instance" {
		if f.Instance == "" {
			return
		}
		id, name = f.Instance, f.Instance
	}
	row := g.row(rows, id, name, latest(f.Finished, f.Began, f.Scheduled))
	title := fmt.Sprintf("%s: %s, %s", readable(cmp.Or(f.TaskName, f.TaskID)), f.State, from.UTC().Format(clockForm+" MST"))
	if to.After(from) {
		title += " for " + duration(to.Sub(from))
	}
	if f.Instance != "" {
		title += ", on " + readable(f.Instance)
	}
	row.add(g.bar(from, to, f.State.String(), title, f.ID))
}

// addPlanned draws the next occurrences of a task.
func (d *dashboard) addPlanned(ctx context.Context, g *gantt, rows map[string]*ganttRow, b *brief) error {
	s, err := d.s.Task(ctx, b.ID)
	if err != nil {
		return skipMissing(err)
	}
	row := g.row(rows, b.ID, b.Name, g.Now)
	last := -1
	for _, t := range s.Upcoming(ganttBars) {
		if t.After(g.To) {
			break
		}
		x := g.x(t)
		if x == last || t.Before(g.From) {
			continue // one mark is enough where several would cover each other
		}
		last = x
		row.add(g.bar(t, t, "planned", readable(b.Name)+": due "+t.Format(clockForm+" MST"), ""))
	}
	return nil
}

func (g *gantt) bar(from, to time.Time, class, title, runID string) ganttBar {
	x := max(g.x(from), 0)
	w := min(g.x(to), ganttUnit) - x
	return ganttBar{x, max(w, 3), class, title, runID}
}

func (g *gantt) row(rows map[string]*ganttRow, id, name string, at time.Time) *ganttRow {
	row := rows[id]
	if row == nil {
		row = &ganttRow{ID: id, Name: name}
		rows[id] = row
	}
	if at.After(row.newest) {
		row.newest = at
	}
	return row
}

func (r *ganttRow) add(b ganttBar) {
	if len(r.Bars) >= ganttBars {
		r.Cut = true
		return
	}
	r.Bars = append(r.Bars, b)
}
