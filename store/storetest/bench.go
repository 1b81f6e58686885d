package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/punctual-go/punctual"
)

// Bench measures a store that holds the given number of tasks, so that stores can be compared: firing (one operation is one
// occurrence from due to done: claimed, its run inserted, its task moved on, and the run finished) alone and in batches, listing a
// page from the middle, and registering another task. open returns an empty store and registers its own cleanup with b.
func Bench(b *testing.B, tasks int, open func(b *testing.B) punctual.Store) {
	w := newWorkload(b, open(b), tasks)
	measure := func(name string, work func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			w.b = b
			b.ReportAllocs()
			b.ResetTimer()
			work(b)
		})
	}
	for _, batch := range []int{1, 500} {
		measure(fmt.Sprintf("fire by %d", batch), func(b *testing.B) {
			w.fire(batch)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
		})
	}
	measure("page", func(b *testing.B) {
		after := taskName(tasks / 2)
		for range b.N {
			_, err := w.store.Tasks(w.ctx, punctual.TaskQuery{After: after})
			w.must(err)
		}
	})
	measure("register", func(b *testing.B) {
		for range b.N {
			w.serial++
			w.register(fmt.Sprintf("new-%d", w.serial), w.now.Add(time.Hour))
		}
	})
}

// workload is a store with many tasks, each due once an hour, at times that are spread over it.
type workload struct {
	b       *testing.B
	ctx     context.Context
	store   punctual.Store
	now     time.Time
	session string
	hourly  punctual.Schedule
	serial  int
}

func taskName(i int) string { return fmt.Sprintf("customer-%07d", i) }

func newWorkload(b *testing.B, store punctual.Store, tasks int) *workload {
	w := &workload{b: b, ctx: context.Background(), store: store, now: noon, hourly: punctual.Every(time.Hour)}
	if leaser, ok := store.(punctual.Leaser); ok {
		w.session = "session"
		_, err := leaser.Beat(w.ctx, punctual.BeatRequest{Now: noon, Session: w.session, Instance: "bench", Lease: 1e6 * time.Hour})
		w.must(err)
	}
	// Ids arrive in an order of their own, as they do in life.
	for i, id := range rand.New(rand.NewPCG(1, 1)).Perm(tasks) {
		w.register(taskName(id), noon.Add(time.Duration(i)*time.Hour/time.Duration(tasks)))
	}
	return w
}

func (w *workload) must(err error) {
	if err != nil {
		w.b.Helper()
		w.b.Fatal(err)
	}
}

func (w *workload) register(id string, next time.Time) {
	_, err := w.store.Edit(w.ctx, punctual.EditRequest{
		TaskID: id, Now: w.now, Session: w.session, Decide: func(punctual.View) (punctual.Change, error) {
			task := punctual.Task{ID: id, Schedule: w.hourly, Revision: 1}
			return punctual.Change{Task: &task, Status: &punctual.Status{Anchor: w.now, NextRunAt: next}}, nil
		},
	})
	w.must(err)
}

// decide starts the occurrence that is due and moves the task on to the next, an hour from now.
func (w *workload) decide(v punctual.View) (punctual.Change, error) {
	w.serial++
	task, status := &v.Record.Task, v.Record.Status
	run := punctual.Run{
		ID: fmt.Sprintf("%026d", w.serial), TaskID: task.ID, TaskName: task.ID, Kind: task.Kind, Trigger: punctual.TriggerSchedule,
		ScheduledAt: status.NextRunAt, Count: 1, Revision: task.Revision, CreatedAt: v.Now,
	}
	start(&run, v.Now, w.session)
	status.LastOccurrence, status.NextRunAt = status.NextRunAt, v.Now.Add(time.Hour)
	return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
}

// fire takes b.N occurrences from due to done. Time moves on so that a full batch is due, as far as there are so many tasks.
func (w *workload) fire(batch int) {
	items := make([]punctual.Finish, 0, batch)
	for done := 0; done < w.b.N; {
		reply, err := w.store.Claim(w.ctx, punctual.ClaimRequest{
			Now: w.now, Session: w.session, Limit: min(batch, w.b.N-done), Decide: w.decide,
		})
		w.must(err)
		if reply.NextDue.After(w.now) {
			w.now = reply.NextDue.Add(time.Minute)
		}
		if len(reply.Started) == 0 {
			continue
		}
		items = items[:0]
		for i := range reply.Started {
			run := &reply.Started[i]
			items = append(items, punctual.Finish{
				RunID: run.ID, TaskID: run.TaskID, Attempt: run.Attempt, State: punctual.StateSucceeded, StartedAt: w.now, FinishedAt: w.now,
			})
		}
		_, err = w.store.Finish(w.ctx, punctual.FinishRequest{Now: w.now, Session: w.session, Items: items})
		w.must(err)
		done += len(items)
	}
}
