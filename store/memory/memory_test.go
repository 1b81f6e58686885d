package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) punctual.Store { return memory.New() })
}

// A store that is handed over by its owner is reopened, so to speak: what durability means in memory.
func TestStoreOutlivesItsSchedulers(t *testing.T) {
	storetest.Run(t, func(*testing.T) punctual.Store { return memory.New() },
		storetest.WithReopen(func(_ *testing.T, s punctual.Store) punctual.Store { return s }),
		storetest.WithPeer(func(_ *testing.T, s punctual.Store) punctual.Store { return s }),
		storetest.WithRounds(20))
}

var noon = time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)

func edit(t testing.TB, s *memory.Store, id, session string, c punctual.Change) {
	t.Helper()
	_, err := s.Edit(context.Background(), punctual.EditRequest{
		TaskID: id, Now: noon, Session: session, Decide: func(punctual.View) (punctual.Change, error) { return c, nil },
	})
	require.NoError(t, err)
}

func add(t testing.TB, s *memory.Store, id string, next time.Time) {
	t.Helper()
	edit(t, s, id, "", punctual.Change{
		Task: &punctual.Task{ID: id, Schedule: punctual.Every(time.Minute), Revision: 1}, Status: &punctual.Status{NextRunAt: next},
	})
}

func run(task string, n int, state punctual.State) punctual.Run {
	r := punctual.Run{ID: fmt.Sprintf("run-%06d", n), TaskID: task, Trigger: punctual.TriggerManual, State: state, Count: 1}
	if state.Final() {
		r.FinishedAt = noon.Add(time.Duration(n) * time.Second)
	}
	return r
}

func ids(t testing.TB, s *memory.Store, task string) []string {
	t.Helper()
	runs, err := s.Runs(context.Background(), punctual.RunQuery{TaskID: task})
	require.NoError(t, err)
	all := make([]string, len(runs))
	for i := range runs {
		all[i] = runs[i].ID
	}
	return all
}

func TestHistoryIsBoundedPerTask(t *testing.T) {
	s := memory.New(memory.WithHistory(3))
	add(t, s, "busy", time.Time{})
	add(t, s, "calm", time.Time{})
	edit(t, s, "calm", "", punctual.Change{Insert: []punctual.Run{run("calm", 1, punctual.StateFailed)}})
	edit(t, s, "busy", "", punctual.Change{Insert: []punctual.Run{
		run("busy", 10, punctual.StateRunning), run("busy", 11, punctual.StatePending),
	}})
	for n := 20; n < 30; n++ {
		edit(t, s, "busy", "", punctual.Change{Insert: []punctual.Run{run("busy", n, punctual.StateSucceeded)}})
	}
	require.Equal(t, []string{"run-000029", "run-000028", "run-000027", "run-000011", "run-000010"}, ids(t, s, "busy"))
	require.Equal(t, []string{"run-000001"}, ids(t, s, "calm"), "another task's history")

	_, err := s.Finish(context.Background(), punctual.FinishRequest{Now: noon, Items: []punctual.Finish{
		{RunID: "run-000010", TaskID: "busy", State: punctual.StateSucceeded, FinishedAt: noon.Add(time.Hour)},
	}})
	require.NoError(t, err)
	require.Equal(t, []string{"run-000029", "run-000028", "run-000011", "run-000010"}, ids(t, s, "busy"),
		"what has just ended is kept, though it is the oldest")
}

func TestTheBoundLeavesTheOpenRowOfSkips(t *testing.T) {
	s := memory.New(memory.WithHistory(2))
	add(t, s, "task", time.Time{})
	edit(t, s, "task", "", punctual.Change{
		Status: &punctual.Status{Skipping: punctual.Skipping{RunID: "run-000010", Count: 1}},
		Insert: []punctual.Run{run("task", 10, punctual.StateSkipped)},
	})
	for n := 20; n < 30; n++ {
		edit(t, s, "task", "", punctual.Change{Insert: []punctual.Run{run("task", n, punctual.StateSucceeded)}})
	}
	require.Equal(t, []string{"run-000029", "run-000010"}, ids(t, s, "task"))
}

func TestHistoryWithoutBoundAndBelowOne(t *testing.T) {
	for _, c := range []struct{ bound, want int }{{math.MaxInt, 50}, {0, 1}, {-1, 1}} {
		s := memory.New(memory.WithHistory(c.bound))
		add(t, s, "task", time.Time{})
		for n := range 50 {
			edit(t, s, "task", "", punctual.Change{Insert: []punctual.Run{run("task", n, punctual.StateSucceeded)}})
		}
		require.Len(t, ids(t, s, "task"), c.want)
	}
}

func TestTheStoresOwnClockDecidesWithoutNow(t *testing.T) {
	mock := clock.NewMock()
	mock.Set(noon.Add(time.Hour))
	s := memory.New(memory.WithClock(mock))
	add(t, s, "task", noon.Add(time.Hour))
	started := 0
	claim := func() punctual.ClaimReply {
		reply, err := s.Claim(context.Background(), punctual.ClaimRequest{Limit: 1, Decide: func(v punctual.View) (punctual.Change, error) {
			started++
			return punctual.Change{Status: &punctual.Status{NextRunAt: v.Now.Add(time.Minute)}}, nil
		}})
		require.NoError(t, err)
		return reply
	}
	require.Equal(t, noon.Add(time.Hour), claim().Now)
	require.Equal(t, noon.Add(time.Hour+time.Minute), claim().NextDue)
	require.Equal(t, 1, started)
	mock.Add(time.Minute)
	claim()
	require.Equal(t, 2, started)
}

func TestAChangeThatCannotBeAppliedChangesNothing(t *testing.T) {
	s := memory.New()
	add(t, s, "task", time.Time{})
	edit(t, s, "task", "", punctual.Change{Insert: []punctual.Run{run("task", 1, punctual.StatePending)}})
	status := &punctual.Status{NextRunAt: noon}
	for name, c := range map[string]punctual.Change{
		"a run id that is taken":          {Status: status, Insert: []punctual.Run{run("task", 2, punctual.StateFailed), run("task", 1, punctual.StateFailed)}},
		"a run id that comes twice":       {Status: status, Insert: []punctual.Run{run("task", 2, punctual.StateFailed), run("task", 2, punctual.StateFailed)}},
		"a run without id":                {Status: status, Insert: []punctual.Run{{TaskID: "task", State: punctual.StatePending}}},
		"a definition under another name": {Task: &punctual.Task{ID: "other", Schedule: punctual.Every(time.Hour)}, Status: status},
	} {
		_, err := s.Edit(context.Background(), punctual.EditRequest{TaskID: "task", Now: noon, Decide: func(punctual.View) (punctual.Change, error) {
			return c, nil
		}})
		require.Error(t, err, name)
	}
	for name, c := range map[string]punctual.Change{
		"a state":   {Status: status},
		"a run":     {Insert: []punctual.Run{run("absent", 5, punctual.StatePending)}},
		"a removal": {Remove: true},
	} {
		_, err := s.Edit(context.Background(), punctual.EditRequest{TaskID: "absent", Now: noon, Decide: func(punctual.View) (punctual.Change, error) {
			return c, nil
		}})
		require.ErrorIs(t, err, punctual.ErrTaskNotFound, "%s for an absent task", name)
	}
	got, err := s.Task(context.Background(), "task")
	require.NoError(t, err)
	require.Zero(t, got.NextRunAt)
	require.Equal(t, []string{"run-000001"}, ids(t, s, ""))
}

func TestAClaimThatWouldEditATaskSetsItAside(t *testing.T) {
	for name, c := range map[string]punctual.Change{
		"replace": {Task: &punctual.Task{ID: "task", Schedule: punctual.Every(time.Hour)}, Status: &punctual.Status{}},
		"remove":  {Remove: true},
		"reuse":   {Insert: []punctual.Run{run("task", 1, punctual.StatePending)}},
	} {
		s := memory.New()
		add(t, s, "task", noon)
		edit(t, s, "task", "", punctual.Change{Insert: []punctual.Run{run("task", 1, punctual.StateFailed)}})
		reply, err := s.Claim(context.Background(), punctual.ClaimRequest{Now: noon, Limit: 1, Decide: func(punctual.View) (punctual.Change, error) {
			return c, nil
		}})
		require.NoError(t, err, name)
		require.Len(t, reply.SetAside, 1, name)
		require.Zero(t, reply.NextDue, name)
		got, err := s.Task(context.Background(), "task")
		require.NoError(t, err, name)
		require.NotEmpty(t, got.Fault, name)
	}
}

func TestAPanicOfDecideLeavesTheStoreUsable(t *testing.T) {
	s := memory.New()
	add(t, s, "task", noon)
	require.PanicsWithValue(t, "pure no more", func() {
		_, _ = s.Claim(context.Background(), punctual.ClaimRequest{Now: noon, Limit: 1, Decide: func(punctual.View) (punctual.Change, error) {
			panic("pure no more")
		}})
	})
	reply, err := s.Claim(context.Background(), punctual.ClaimRequest{Now: noon, Limit: 1, Decide: func(v punctual.View) (punctual.Change, error) {
		return punctual.Change{Status: &punctual.Status{NextRunAt: noon.Add(time.Hour)}}, nil
	}})
	require.NoError(t, err)
	require.Equal(t, 1, reply.Decided, "the task is due as before")
}

func TestAnOutcomeHasToEndTheAttempt(t *testing.T) {
	s := memory.New()
	add(t, s, "task", time.Time{})
	edit(t, s, "task", "", punctual.Change{Insert: []punctual.Run{run("task", 1, punctual.StateRunning), run("task", 2, punctual.StateRunning)}})
	_, err := s.Finish(context.Background(), punctual.FinishRequest{Now: noon, Items: []punctual.Finish{
		{RunID: "run-000001", State: punctual.StateSucceeded}, {RunID: "run-000002", State: punctual.StateRunning},
	}})
	require.Error(t, err)
	got, err := s.Task(context.Background(), "task")
	require.NoError(t, err)
	require.Equal(t, 2, got.Active, "nothing of the request was recorded")
}

func TestADeadSessionIsRememberedForEver(t *testing.T) {
	s := memory.New()
	ctx := context.Background()
	request := punctual.BeatRequest{Now: noon, Session: "a", Instance: "i", Lease: time.Minute}
	_, err := s.Beat(ctx, request)
	require.NoError(t, err)
	for i := range 3 {
		request.Now = noon.Add(time.Duration(i+1) * 1000 * time.Hour)
		_, err := s.Reclaim(ctx, punctual.ReclaimRequest{Now: request.Now, Limit: 10})
		require.NoError(t, err)
		reply, err := s.Beat(ctx, request)
		require.NoError(t, err)
		require.True(t, reply.Lost, "a suspended instance must not be given its old name anew")
		_, err = s.Claim(ctx, punctual.ClaimRequest{Now: request.Now, Session: "a", Limit: 1})
		require.ErrorIs(t, err, punctual.ErrLeaseLost)
	}
}

func TestALongSearchLetsOthersIn(t *testing.T) {
	s := memory.New()
	const n = 20000
	for i := range n {
		add(t, s, fmt.Sprintf("task-%05d", i), time.Time{})
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	page, err := s.Tasks(ctx, punctual.TaskQuery{Search: "TASK-19999"})
	require.NoError(t, err)
	require.Len(t, page, 1)
	page, err = s.Tasks(ctx, punctual.TaskQuery{Search: "k-0", After: "task-04999", Limit: 7})
	require.NoError(t, err)
	require.Len(t, page, 7)
	require.Equal(t, "task-05000", page[0].Task.ID)
	cancel()
	_, err = s.Tasks(ctx, punctual.TaskQuery{Search: "nothing"})
	require.True(t, errors.Is(err, context.Canceled))
}

func Example() {
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		fmt.Println("hello")
		return punctual.Result{}, nil
	}))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := s.Start(ctx); err != nil {
		panic(err)
	}
	if err := s.Add(ctx, punctual.Task{ID: "greeting", Schedule: punctual.Every(time.Hour)}); err != nil {
		panic(err)
	}
	if err := s.WaitIdle(ctx); err != nil {
		panic(err)
	}
	if err := s.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: hello
}
