// Package work is what the programs of this module do on schedule, and a diary of it for their tests.
package work

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // zones on machines without a tz database
)

// Work is what a program does on schedule.
type Work interface {
	Sync(ctx context.Context, account string) error
	Report(ctx context.Context) error
}

// Diary is a Work that writes down when it is asked for what. A sync takes and returns what it is told.
type Diary struct {
	Takes time.Duration
	Fails error

	mu    sync.Mutex
	lines []string
}

// Sync writes a line when it begins, and another when its context ends before it does.
func (d *Diary) Sync(ctx context.Context, account string) error {
	d.note("sync %s", account)
	timer := time.NewTimer(d.Takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return d.Fails
	case <-ctx.Done():
		d.note("sync canceled")
		return context.Cause(ctx)
	}
}

// Report writes a line.
func (d *Diary) Report(context.Context) error {
	d.note("report")
	return nil
}

// Lines returns what was written down, each with day and time in UTC.
func (d *Diary) Lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

func (d *Diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, time.Now().UTC().Format("Mon 15:04 ")+fmt.Sprintf(format, args...))
}

// Monday moves a synctest bubble, which begins on a Saturday, to 06:45 UTC on the next Monday.
func Monday() {
	time.Sleep(time.Until(time.Date(2000, time.January, 3, 6, 45, 0, 0, time.UTC)))
}

// Berlin is the zone of the report.
func Berlin() *time.Location {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return berlin
}
