package punctual_test

import (
	"context"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

// A page at a time, newest first, of what ended in a range of time.
func ExampleScheduler_Runs() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "sync", Schedule: punctual.Every(time.Hour)}))
	pass(s, mock, time.Hour, time.Hour, time.Hour, time.Hour)
	q := punctual.RunQuery{
		TaskID: "sync", States: []punctual.State{punctual.StateSucceeded, punctual.StateFailed}, Limit: 2,
		Since: mock.Now().Add(-3 * time.Hour), Until: mock.Now(),
	}
	for page := 1; ; page++ {
		runs, err := s.Runs(ctx, q)
		check(err)
		for _, run := range runs {
			fmt.Println("page", page, run.ScheduledAt.UTC().Format("15:04"))
		}
		if len(runs) < q.Limit {
			break
		}
		q.Before = runs[len(runs)-1].ID
	}
	check(s.Shutdown(ctx))
	// Output:
	// page 1 11:00
	// page 1 10:00
	// page 2 09:00
}

// What is there, by label, kind and words, a page at a time.
func ExampleScheduler_Tasks() {
	ctx := context.Background()
	s := example(nil)
	for _, task := range []punctual.Task{
		{ID: "feed-1", Name: "News", Kind: "feed", Labels: map[string]string{"team": "web"}},
		{ID: "feed-2", Name: "Weather", Kind: "feed", Labels: map[string]string{"team": "web"}},
		{ID: "feed-3", Name: "Weather abroad", Kind: "feed", Labels: map[string]string{"team": "sea"}},
	} {
		task.Schedule = punctual.Daily("09:30", time.UTC)
		check(s.Add(ctx, task))
	}
	for _, q := range []punctual.TaskQuery{
		{Labels: map[string]string{"team": "web"}, Kind: "feed"},
		{Search: "weather"},
		{After: "feed-2", Limit: 10},
	} {
		found, err := s.Tasks(ctx, q)
		check(err)
		var ids []string
		for _, snapshot := range found {
			ids = append(ids, snapshot.Task.ID)
		}
		fmt.Println(ids)
	}
	check(s.Shutdown(ctx))
	// Output:
	// [feed-1 feed-2]
	// [feed-2 feed-3]
	// [feed-3]
}

// A snapshot is what the engine knows of a task.
func ExampleScheduler_Task() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "sync", Schedule: punctual.Every(time.Hour)}))
	pass(s, mock)
	snapshot, err := s.Task(ctx, "sync")
	check(err)
	fmt.Println("next", snapshot.NextRunAt.UTC().Format("15:04"), "last", snapshot.LastRun.State, "revision", snapshot.Task.Revision)
	check(s.Shutdown(ctx))
	// Output:
	// next 09:00 last succeeded revision 1
}

// A run has an id that stays the same over its attempts, and can be looked up.
func ExampleScheduler_Run() {
	ctx := context.Background()
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{Output: "42 articles", Facts: []byte(`{"tokens":7}`)}, nil
	})
	check(s.Add(ctx, punctual.Task{ID: "feed", Schedule: punctual.Daily("09:30", time.UTC)}))
	asked, err := s.RunNow(ctx, "feed")
	check(err)
	check(s.WaitIdle(ctx))
	run, err := s.Run(ctx, asked.ID)
	check(err)
	fmt.Println(run.State, run.Result.Output, string(run.Result.Facts))
	check(s.Shutdown(ctx))
	// Output:
	// succeeded 42 articles {"tokens":7}
}

// Reports of three days are made up for. Asking again adds nothing.
func ExampleScheduler_Backfill() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "report", Schedule: punctual.Daily("09:30", time.UTC)}))
	for range 2 {
		added, err := s.Backfill(ctx, "report", mock.Now().AddDate(0, 0, -3), mock.Now())
		check(err)
		fmt.Println("added", added)
		pass(s, mock)
	}
	runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: "report"})
	check(err)
	for _, run := range runs {
		fmt.Println(run.ScheduledAt.UTC().Format("02 Jan 15:04"), run.Trigger, run.State)
	}
	check(s.Shutdown(ctx))
	// Output:
	// added 3
	// added 0
	// 28 Feb 09:30 backfill succeeded
	// 27 Feb 09:30 backfill succeeded
	// 26 Feb 09:30 backfill succeeded
}

// While a task is paused nothing is owed, and after Resume nothing is made up for.
func ExampleScheduler_Pause() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "sync", Schedule: punctual.Every(time.Hour)}))
	pass(s, mock)
	check(s.Pause(ctx, "sync"))
	pass(s, mock, time.Hour, time.Hour, 30*time.Minute)
	check(s.Resume(ctx, "sync"))
	pass(s, mock, 30*time.Minute)
	ledger(s, "sync")
	check(s.Shutdown(ctx))
	// Output:
	// 08:00 register succeeded
	// 11:00 schedule succeeded
}

// Cancel ends the context of a run, here or on whatever instance works on it.
func ExampleScheduler_Cancel() {
	ctx := context.Background()
	begun := make(chan struct{})
	s := example(func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		close(begun)
		<-ctx.Done()
		return punctual.Result{}, context.Cause(ctx)
	})
	check(s.Add(ctx, punctual.Task{ID: "import", Schedule: punctual.Daily("03:00", time.UTC)}))
	run, err := s.RunNow(ctx, "import")
	check(err)
	<-begun
	check(s.Cancel(ctx, run.ID))
	check(s.WaitIdle(ctx))
	run, err = s.Run(ctx, run.ID)
	check(err)
	fmt.Println(run.State, "-", run.Error)
	check(s.Shutdown(ctx))
	// Output:
	// canceled - punctual: run was canceled
}

// Removing a task takes its ledger along unless it is to be kept.
func ExampleScheduler_Remove() {
	ctx := context.Background()
	s := example(nil)
	for _, id := range []string{"old", "older"} {
		check(s.Add(ctx, punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
	}
	check(s.WaitIdle(ctx))
	check(s.Remove(ctx, "old", punctual.KeepHistory()))
	check(s.Remove(ctx, "older", punctual.CancelRunning()))
	runs, err := s.Runs(ctx, punctual.RunQuery{})
	check(err)
	for _, run := range runs {
		fmt.Println(run.TaskID, run.State)
	}
	check(s.Shutdown(ctx))
	// Output:
	// old succeeded
}

// States know which of them are the end, and what may follow.
func ExampleState() {
	for _, state := range []punctual.State{punctual.StatePending, punctual.StateRunning, punctual.StateMissed} {
		fmt.Println(state, "final:", state.Final(), "may succeed next:", state.CanBecome(punctual.StateSucceeded))
	}
	// Output:
	// pending final: false may succeed next: false
	// running final: false may succeed next: true
	// missed final: true may succeed next: false
}
