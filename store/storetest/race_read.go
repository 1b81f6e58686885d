package storetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
)

var readCases = []testCase{
	{
		name:    "nobody sees half of a call",
		promise: "the effects of a call become visible together: a reader sees all rows of a Change or a Finish, or none",
		check: func(f *fixture) {
			f.add("task")
			writer := f.peer("session-b")
			var stop atomic.Bool
			f.together(2, func(i int) error {
				if i == 0 {
					defer stop.Store(true)
					return writer.writeInPairs(max(f.rounds/2, 1))
				}
				for !stop.Load() {
					for _, states := range [][]punctual.State{nil, {punctual.StateSucceeded}} {
						page, err := f.store.Runs(f.ctx, punctual.RunQuery{TaskID: "task", States: states, Limit: punctual.MaxLimit})
						if err != nil {
							return err
						}
						if len(page)%2 != 0 {
							return fmt.Errorf("a reader sees %d rows of calls that write two at a time", len(page))
						}
					}
				}
				return nil
			})
		},
	},
	{
		name:    "lists are whole while others write",
		promise: "what is there all the while is on exactly one page, in order, while others add, finish and remove",
		check: func(f *fixture) {
			f.add("fixed")
			var tasks, runs []string
			for i := range 20 {
				id := fmt.Sprintf("fixed-%02d", i)
				f.add(id)
				tasks = append(tasks, id)
				runs = append(runs, f.put(f.ended("fixed", punctual.StateSucceeded, f.now))[0].ID)
			}
			other := f.peer("session-b")
			var stop atomic.Bool
			f.together(2, func(i int) error {
				if i == 0 {
					defer stop.Store(true)
					return f.listWhole(max(f.rounds/10, 1), tasks, runs)
				}
				for n := 0; !stop.Load(); n++ {
					id := fmt.Sprintf("fixed-%02d-%d", n%20, n)
					task := punctual.Task{ID: id, Schedule: punctual.Every(time.Minute), Revision: 1}
					for _, c := range []punctual.Change{
						{Task: &task, Status: &punctual.Status{}, Insert: []punctual.Run{other.running(id), other.pending(id, f.now)}},
						{Remove: true},
					} {
						_, err := other.store.Edit(f.ctx, other.request(id, func(punctual.View) (punctual.Change, error) { return c, nil }))
						if err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	},
}

// writeInPairs inserts two runs, finishes both and removes both, each pair in one call.
func (f *fixture) writeInPairs(rounds int) error {
	for range rounds {
		rows := []punctual.Run{f.running("task"), f.running("task")}
		task := punctual.Task{ID: "task", Schedule: punctual.Every(time.Minute), Revision: 1}
		changes := []punctual.Change{{Insert: rows}, {Remove: true}, {Task: &task, Status: &punctual.Status{}}}
		for i, c := range changes {
			if _, err := f.store.Edit(f.ctx, f.request("task", func(punctual.View) (punctual.Change, error) { return c, nil })); err != nil {
				return err
			}
			if i > 0 {
				continue
			}
			_, err := f.store.Finish(f.ctx, punctual.FinishRequest{Now: f.now, Session: f.session, Items: []punctual.Finish{
				f.outcome(rows[0], punctual.StateSucceeded), f.outcome(rows[1], punctual.StateSucceeded),
			}})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// listWhole pages through tasks and runs and looks for each of the given ones.
func (f *fixture) listWhole(rounds int, tasks, runs []string) error {
	for range rounds {
		var seen []string
		for cursor, more := "", true; more; {
			page, err := f.store.Tasks(f.ctx, punctual.TaskQuery{Limit: 3, After: cursor})
			if err != nil {
				return err
			}
			for i := range page {
				cursor = page[i].Task.ID
				seen = append(seen, cursor)
			}
			more = len(page) == 3 && len(seen) < 3*endless
		}
		if err := wholeIn(tasks, seen); err != nil {
			return fmt.Errorf("tasks: %w", err)
		}
		seen = nil
		for cursor, more := "", true; more; {
			page, err := f.store.Runs(f.ctx, punctual.RunQuery{Limit: 3, Before: cursor})
			if err != nil {
				return err
			}
			for i := range page {
				cursor = page[i].ID
				seen = append(seen, cursor)
			}
			more = len(page) == 3 && len(seen) < 3*endless
		}
		if err := wholeIn(runs, reversed(seen)); err != nil {
			return fmt.Errorf("runs: %w", err)
		}
	}
	return nil
}

func wholeIn(want, seen []string) error {
	if !slices.IsSorted(seen) {
		return fmt.Errorf("pages are not in order: %v", seen)
	}
	for _, id := range want {
		if n := count(seen, id); n != 1 {
			return fmt.Errorf("%s is on %d pages", id, n)
		}
	}
	return nil
}
