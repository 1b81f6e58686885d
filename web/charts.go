package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// Charts are geometry for the templates: whole numbers in a box whose size the template names, a class that the style sheet colours, and a
// title that says in words what is drawn.

type rect struct {
	X, Y, W, H int
	Class      string
	Title      string
	Link       string
}

// chart is a picture and the same as a table.
type chart struct {
	W, H    int
	Rects   []rect
	Top     string // label of the upper end of the scale
	Summary string // the picture in words
	Head    []string
	Rows    [][]string
	Ticks   []time.Time
	Labels  []rect // texts along the top of a heat map
}

const chartHeight = 100

// outcomeChart stacks what ended in each bucket, failures at the bottom, where the eye compares best.
func outcomeChart(o *overview) chart {
	c := chart{W: 10 * len(o.Chart.Buckets), H: chartHeight, Head: []string{"from (UTC)"}}
	top := 1
	for i := range o.Chart.Buckets {
		top = max(top, o.Chart.Buckets[i].Outcomes.Total())
	}
	for _, s := range finals {
		c.Head = append(c.Head, s.String())
	}
	for i := range o.Chart.Buckets {
		b := &o.Chart.Buckets[i]
		total := b.Outcomes.Total()
		if total == 0 {
			continue
		}
		var words []string
		row := []string{b.From.UTC().Format("01-02 15:04")}
		for _, s := range finals {
			n := b.Outcomes.Count(s)
			row = append(row, number(n))
			if n > 0 {
				words = append(words, fmt.Sprintf("%s %s", number(n), s))
			}
		}
		c.Rows = append(c.Rows, row)
		title := fmt.Sprintf("%s to %s UTC: %s", b.From.UTC().Format("15:04"), b.To.UTC().Format("15:04"), strings.Join(words, ", "))
		y := chartHeight
		sum := 0
		for _, s := range finals {
			n := b.Outcomes.Count(s)
			if n == 0 {
				continue
			}
			sum += n
			upper := chartHeight - max(sum*chartHeight/top, 1) // positions are those of sums, so that nothing drifts
			upper = min(upper, y-1)
			c.Rects = append(c.Rects, rect{X: 10*i + 1, Y: upper, W: 8, H: y - upper, Class: "f-" + s.String(), Title: title})
			y = upper
		}
	}
	c.Top = number(top)
	c.Summary = fmt.Sprintf("Runs that ended: %s succeeded, %s failed, %s lost, %s canceled, %s skipped, %s missed.",
		number(o.Chart.Outcomes.Succeeded), number(o.Chart.Outcomes.Failed), number(o.Chart.Outcomes.Lost), number(o.Chart.Outcomes.Canceled),
		number(o.Chart.Outcomes.Skipped), number(o.Chart.Outcomes.Missed))
	span := o.Chart.To.Sub(o.Chart.From)
	for i := range time.Duration(5) {
		c.Ticks = append(c.Ticks, o.Chart.From.Add(i*span/4))
	}
	return c
}

// latenessChart is one bar for each step of lateness.
func latenessChart(o *overview) chart {
	c := chart{W: chartHeight, H: 1, Head: []string{"began", "runs"}}
	names := make([]string, len(o.lateBars))
	for i, step := range latenessSteps {
		names[i] = "within " + duration(step)
	}
	names[len(names)-1] = "later than " + duration(latenessSteps[len(latenessSteps)-1])
	for i, n := range o.lateBars {
		c.Rows = append(c.Rows, []string{names[i], number(n)})
		class := "f-succeeded"
		switch {
		case i >= len(latenessSteps):
			class = "f-failed"
		case i >= 3:
			class = "f-missed"
		}
		c.Rects = append(c.Rects, rect{W: share(n, o.Lateness.Count), Class: class, Title: names[i]})
	}
	return c
}

// share is n of total as a length of 0 to 100, at least 1 for what is there.
func share(n, total int) int {
	if n == 0 || total == 0 {
		return 0
	}
	return max(n*100/total, 1)
}

const (
	cell    = 13 // a day of the heat map with the gap after it
	cellTop = 16 // room for the months
)

// heatMap is a calendar: a column for each week, a row for each day of it. The colour is that of the worst outcome of the day; its strength is
// the share of what did not succeed, or, on a good day, how many runs there were beside other days.
func heatMap(c calendar, zone *time.Location) chart {
	m := chart{W: calendarWeeks * cell, H: cellTop + 7*cell, Head: []string{"day", "runs", "succeeded", "failed", "other"}}
	most := 1
	for i := range c.Days {
		most = max(most, c.Days[i].Outcomes.Total())
	}
	month, labelled := time.Month(0), -3
	var sum outcomes
	for i := range c.Days {
		d := &c.Days[i]
		week := i / 7
		if d.Date.Month() != month && d.Date.Day() <= 7 || i == 0 {
			month = d.Date.Month()
			if week-labelled >= 3 && week < calendarWeeks-1 {
				m.Labels = append(m.Labels, rect{X: week * cell, Y: 10, Title: month.String()[:3]})
				labelled = week
			}
		}
		r := rect{X: week * cell, Y: cellTop + i%7*cell, W: cell - 2, H: cell - 2, Class: "f-none", Title: d.Date.Format("Mon 2 Jan 2006") + ": no runs"}
		if total := d.Outcomes.Total(); total > 0 {
			var words []string
			for _, s := range finals {
				n := d.Outcomes.Count(s)
				*sum.of(s) += n
				if n > 0 {
					words = append(words, fmt.Sprintf("%s %s", number(n), s))
					if r.Class == "f-none" {
						r.Class = "f-" + s.String()
					}
				}
			}
			if d.Outcomes.Succeeded < total { // a day that was not all good is as strong as its bad part
				r.Class += strength(total-d.Outcomes.Succeeded, total)
			} else {
				r.Class += strength(total, most)
			}
			r.Title = d.Date.Format("Mon 2 Jan 2006") + ": " + strings.Join(words, ", ")
			good, bad := d.Outcomes.Succeeded, d.Outcomes.Failed
			m.Rows = append(m.Rows, []string{d.Date.Format("2006-01-02"), number(total), number(good), number(bad), number(total - good - bad)})
		}
		m.Rects = append(m.Rects, r)
	}
	m.Summary = fmt.Sprintf("Outcomes by day in %s: %s succeeded, %s failed, %s others, over %d weeks.",
		readable(zone.String()), number(sum.Succeeded), number(sum.Failed), number(sum.Total()-sum.Succeeded-sum.Failed), calendarWeeks)
	return m
}

// strength is the class of a colour's strength.
func strength(n, of int) string {
	switch {
	case n*4 <= of:
		return " faint"
	case n*2 <= of:
		return " half"
	default:
		return ""
	}
}

// durationChart is a bar for each of the newest runs, oldest first.
func durationChart(c calendar) chart {
	m := chart{W: 10 * shownDurations, H: chartHeight, Head: []string{"ended (UTC)", "state", "took"}}
	longest := time.Microsecond
	for _, t := range c.Took {
		longest = max(longest, t.For)
	}
	m.Top = duration(longest)
	for i, t := range c.Took {
		h := max(int(int64(t.For/time.Microsecond)*(chartHeight-2)/int64(longest/time.Microsecond)), 2)
		at := t.At.UTC().Format(clockForm)
		m.Rects = append(m.Rects, rect{
			X: 10*(shownDurations-len(c.Took)+i) + 1, Y: chartHeight - h, W: 8, H: h, Class: "f-" + t.State.String(),
			Title: fmt.Sprintf("%s UTC: %s after %s", at, t.State, duration(t.For)), Link: link("run", "id", t.RunID),
		})
		m.Rows = append(m.Rows, []string{at, t.State.String(), duration(t.For)})
	}
	m.Summary = fmt.Sprintf("How long the last %d runs took: half of them at most %s, the longest %s.", len(c.Took), seconds(c.Stats.P50), seconds(c.Stats.Max))
	return m
}

// attemptRow is one attempt of a run as its page shows it.
type attemptRow struct {
	punctual.Attempt
	For   time.Duration
	Live  bool
	Bar   rect // in thousandths of the time from the first attempt to the end
	Class string
}

// attempts lists the attempts of a run that are known, with the current or last one.
func attempts(r *punctual.Run, now time.Time) []attemptRow {
	var rows []attemptRow
	for _, a := range r.History {
		class := map[string]string{"failed": "f-failed", "lost": "f-lost"}[a.Outcome]
		if class == "" {
			class = "f-skipped"
		}
		rows = append(rows, attemptRow{Attempt: a, Class: class})
	}
	between := r.State == punctual.StatePending && len(r.History) > 0 // the last attempt is in the history already
	if r.Attempt > 0 && !r.StartedAt.IsZero() && !between {
		rows = append(rows, attemptRow{
			Attempt: punctual.Attempt{
				Number: r.Attempt, Instance: r.Instance, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, Outcome: r.State.String(), Error: r.Error,
			},
			Live: r.State == punctual.StateRunning, Class: "f-" + r.State.String(),
		})
	}
	var from, to time.Time
	for i := range rows {
		a := &rows[i]
		end := latest(a.FinishedAt, now)
		if a.StartedAt.IsZero() {
			continue
		}
		a.For = max(end.Sub(a.StartedAt), 0)
		if from.IsZero() || a.StartedAt.Before(from) {
			from = a.StartedAt
		}
		to = latestOf(to, end)
	}
	span := max(to.Sub(from), time.Microsecond)
	for i := range rows {
		a := &rows[i]
		if !a.StartedAt.IsZero() {
			a.Bar = rect{X: int(a.StartedAt.Sub(from) * ganttUnit / span), W: max(int(a.For*ganttUnit/span), 4), Class: a.Class}
			a.Bar.X = min(a.Bar.X, ganttUnit-a.Bar.W)
		}
	}
	return rows
}
