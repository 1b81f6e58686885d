package web

import (
	"context"
	"time"

	"github.com/punctual-go/punctual"
)

// Bounds of what is read of one task's ledger to draw it.
const (
	calendarWeeks  = 52
	calendarRuns   = 3000
	calendarPage   = 250
	calendarBudget = time.Second
	shownDurations = 90
)

// calendar is what became of one task's runs, day by day, and how long they took.
type calendar struct {
	Days  []day     // whole weeks from a Monday on, to today
	Since time.Time // earlier runs were not read; zero when all were
	Took  []took    // oldest first
	Stats spread
}

type day struct {
	Date     time.Time // midnight UTC stands for the date in the task's zone
	Outcomes outcomes
}

// took is how long one run took.
type took struct {
	RunID string
	State punctual.State
	At    time.Time
	For   time.Duration
}

// calendar reads the newest part of one task's ledger.
func (d *dashboard) calendar(ctx context.Context, id string, zone *time.Location) (calendar, error) {
	return d.calendars.get(ctx, zone.String()+"\x00"+id, func(ctx context.Context, _ calendar) (calendar, error) {
		began := d.clock.Now()
		today := dateIn(began, zone)
		monday := today.AddDate(0, 0, -(int(today.Weekday())+6)%7-7*(calendarWeeks-1))
		c := calendar{}
		at := make(map[time.Time]int)
		for date := monday; !date.After(today); date = date.AddDate(0, 0, 1) {
			at[date] = len(c.Days)
			c.Days = append(c.Days, day{Date: date})
		}
		q := punctual.RunQuery{TaskID: id, Since: monday.AddDate(0, 0, -1), Limit: calendarPage}
		for read := 0; ; {
			page, err := d.s.Runs(ctx, q)
			if err != nil {
				return calendar{}, err
			}
			for i := range page {
				f := factOf(&page[i])
				if index, ok := at[dateIn(f.at(), zone)]; ok {
					c.Days[index].Outcomes.add(f.State)
				}
				if r := &page[i]; len(c.Took) < shownDurations && r.State.Final() && !r.StartedAt.IsZero() && !r.FinishedAt.Before(r.StartedAt) {
					c.Took = append(c.Took, took{r.ID, r.State, r.FinishedAt, r.FinishedAt.Sub(r.StartedAt)})
				}
			}
			if len(page) < calendarPage {
				break
			}
			q.Before = page[len(page)-1].ID
			if read += len(page); read >= calendarRuns || d.clock.Now().Sub(began) > calendarBudget {
				c.Since = page[len(page)-1].ScheduledAt
				break
			}
		}
		var durations []time.Duration
		for i, j := 0, len(c.Took)-1; i < j; i, j = i+1, j-1 {
			c.Took[i], c.Took[j] = c.Took[j], c.Took[i]
		}
		for _, t := range c.Took {
			durations = append(durations, t.For)
		}
		c.Stats = spreadOf(durations)
		return c, nil
	})
}

// dateIn returns the date of t in the zone as a midnight in UTC, since in some zones some midnights do not exist.
func dateIn(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
