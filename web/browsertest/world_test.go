package browsertest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// picture is a world at rest for screenshots and scans: six weeks of a small company's tasks on a mock clock, the same each time.
type picture struct {
	clock *clock.Mock
	s     *punctual.Scheduler
	runs  map[string]string // what a page is of -> id of a run
}

var (
	pictureBegin = time.Date(2027, 2, 1, 6, 0, 0, 0, time.UTC)
	pictureEnd   = time.Date(2027, 3, 18, 13, 20, 0, 0, time.UTC)
)

func newPicture(t *testing.T) *picture {
	t.Helper()
	p := &picture{clock: clock.NewMock(), runs: make(map[string]string)}
	kept := memory.New(memory.WithClock(p.clock), memory.WithHistory(5000))
	p.live(t, kept)
	p.clock.Set(pictureEnd)
	release := make(chan struct{})
	s, err := punctual.New(kept, punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		return p.work(ctx, run, release)
	}), punctual.WithClock(p.clock), punctual.WithInstance("ada/4711"), punctual.WithVersion("1.4.0"))
	require.NoError(t, err)
	p.s = s
	t.Cleanup(func() {
		close(release)
		require.NoError(t, s.Shutdown(context.Background()))
	})
	ctx := t.Context()
	require.NoError(t, s.Start(ctx))
	require.NoError(t, s.WaitIdle(ctx)) // it has its lease, and so starts what is asked for at once
	require.NoError(t, s.Pause(ctx, "newsletter"))
	_, err = s.RunNow(ctx, "index")
	require.NoError(t, err)
	p.clock.Add(4 * time.Minute)
	for name, id := range map[string]string{"failed": "invoices", "succeeded": "digest"} {
		var state punctual.State
		require.NoError(t, state.UnmarshalText([]byte(name)))
		runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: id, States: []punctual.State{state}, Limit: 1})
		require.NoError(t, err)
		require.NotEmpty(t, runs)
		p.runs[name] = runs[0].ID
	}
	return p
}

// live lets six weeks pass in a bubble, in which they take a moment.
func (p *picture) live(t *testing.T, kept punctual.Store) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(pictureBegin))
		s, err := punctual.New(timeless{kept}, punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			time.Sleep(time.Duration(luck(run)*luck(run)+40) * 3 * time.Millisecond)
			return p.work(ctx, run, nil)
		}), punctual.WithClock(clock.New()), punctual.WithInstance("ada/4711"), punctual.WithVersion("1.4.0"))
		require.NoError(t, err)
		for _, task := range pictureTasks() {
			require.NoError(t, s.Add(t.Context(), task))
		}
		require.NoError(t, s.Start(t.Context()))
		time.Sleep(time.Until(pictureEnd))
		synctest.Wait()
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

// luck is a number below a hundred that a task and an occurrence determine.
func luck(run punctual.Run) int {
	h := fnv.New32a()
	fmt.Fprint(h, run.TaskID, run.ScheduledAt.Unix(), run.Attempt)
	return int(h.Sum32() / 7 % 100)
}

// timeless hides everything of a store but what a Store must be able to do, so that each of two lives has its own clock.
type timeless struct{ punctual.Store }

func pictureTasks() []punctual.Task {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	retry := punctual.Retry{MaxAttempts: 3, Initial: 30 * time.Minute}
	return []punctual.Task{
		{ID: "digest", Name: "Morning digest for the team", Kind: "llm", Schedule: punctual.Daily("07:30", berlin), Payload: []byte(`{"model":"small","message":"What happened yesterday?"}`), Labels: map[string]string{"team": "news", "tier": "gold"}},
		{ID: "feeds", Name: "Fetch feeds", Kind: "http", Schedule: punctual.Every(30 * time.Minute), Labels: map[string]string{"team": "news"}},
		{ID: "invoices", Name: "Send invoices", Kind: "mail", Schedule: punctual.Must(punctual.Cron("0 */4 * * *", berlin)), Retry: retry, Labels: map[string]string{"team": "billing", "tier": "gold"}, Timeout: time.Minute},
		{ID: "backup", Name: "Back the database up", Kind: "shell", Schedule: punctual.Must(punctual.Cron("15 3 * * *", time.UTC)), Labels: map[string]string{"team": "ops"}},
		{ID: "index", Name: "Rebuild the search index", Kind: "shell", Schedule: punctual.Must(punctual.Cron("0 2 * * 0", time.UTC)), Labels: map[string]string{"team": "ops"}},
		{ID: "newsletter", Name: "Weekly newsletter", Kind: "mail", Schedule: punctual.Must(punctual.Cron("0 9 * * 5", berlin)), Labels: map[string]string{"team": "news"}},
		{ID: "probe", Name: "Check the payment gateway", Kind: "http", Schedule: punctual.Every(2 * time.Hour), Labels: map[string]string{"team": "billing"}},
		{ID: "rates", Name: "Exchange rates", Kind: "http", Schedule: punctual.Must(punctual.Cron("30 6-20 * * 1-5", berlin)), Labels: map[string]string{"team": "billing"}},
		{ID: "archive", Name: "Archive old orders", Kind: "shell", Schedule: punctual.Every(24 * time.Hour), Disabled: true, Labels: map[string]string{"team": "ops"}},
	}
}

// work takes a time and fails by a hash of task and occurrence.
func (p *picture) work(ctx context.Context, run punctual.Run, release <-chan struct{}) (punctual.Result, error) {
	if run.TaskID == "index" && run.Trigger == punctual.TriggerManual {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return punctual.Result{}, ctx.Err()
	}
	luck := luck(run)
	switch {
	case run.TaskID == "probe" && (luck < 12 || run.ScheduledAt.After(pictureEnd.Add(-3*time.Hour))):
		return punctual.Result{}, errors.New("gateway answered 502: upstream connect error")
	case run.TaskID == "invoices" && luck < 35:
		return punctual.Result{Output: "connected to smtp.example.com\n12 of 40 sent"}, errors.New("smtp: 451 4.3.2 try again later")
	case run.TaskID == "feeds" && luck < 2:
		return punctual.Result{}, errors.New("feed 7 of 42: unexpected EOF")
	case run.TaskID == "digest":
		return punctual.Result{
			Output: strings.Join([]string{"Good morning. Three things happened yesterday:", "", "1. The release went out at 16:40.", "2. Two invoices bounced and were sent again.", "3. The search index grew by 4 %."}, "\n"),
			Facts:  []byte(`{"model":"small","usage":{"prompt_tokens":812,"completion_tokens":64,"total_tokens":876}}`),
		}, nil
	}
	return punctual.Result{Output: fmt.Sprintf("%d items", luck)}, nil
}
