package river

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue is River as far as an Executor sees it, with one job at most. In a bubble its answers take no time.
type queue struct {
	mu       sync.Mutex
	job      *rivertype.JobRow
	broken   error // what JobGet and JobCancel answer
	refused  error // what Insert answers
	inserted int
	looked   int
	canceled int
	during   func() error  // what JobGet answers instead, unless it is nil
	obeys    time.Duration // how long its worker takes to notice that the job is cancelled
}

func (q *queue) Insert(_ context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refused != nil {
		return nil, q.refused
	}
	if q.job != nil && q.job.State != rivertype.JobStateCancelled && q.job.State != rivertype.JobStateDiscarded {
		return &rivertype.JobInsertResult{Job: q.seen(), UniqueSkippedAsDuplicate: true}, nil
	}
	q.inserted++
	q.job = &rivertype.JobRow{ID: int64(q.inserted), Kind: args.Kind(), Queue: "default", State: rivertype.JobStateAvailable, Metadata: opts.Metadata}
	return &rivertype.JobInsertResult{Job: q.seen()}, nil
}

func (q *queue) JobGet(context.Context, int64) (*rivertype.JobRow, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looked++
	if q.during != nil {
		return nil, q.during()
	}
	return q.seen(), q.broken
}

func (q *queue) JobCancel(context.Context, int64) (*rivertype.JobRow, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken != nil {
		return nil, q.broken
	}
	q.canceled++
	q.change(q.obeys, func() { q.job.State = rivertype.JobStateCancelled })
	return q.seen(), nil
}

func (q *queue) seen() *rivertype.JobRow {
	row := *q.job
	return &row
}

// endsAfter lets the job end in a state after a while.
func (q *queue) endsAfter(d time.Duration, state rivertype.JobState, change func(*rivertype.JobRow)) {
	q.change(d, func() {
		q.job.State, q.job.Attempt = state, 3
		if change != nil {
			change(q.job)
		}
	})
}

func (q *queue) change(after time.Duration, change func()) {
	time.AfterFunc(after, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		change()
	})
}

func run(payload string) punctual.Run {
	return punctual.Run{ID: "the run", TaskID: "a task", Payload: json.RawMessage(payload)}
}

func factsOf(t *testing.T, r punctual.Result) (f Facts) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.Facts, &f))
	return f
}

func TestWithoutWaitARunEndsWithTheInsertion(t *testing.T) {
	q := &queue{}
	result, err := New(q).Execute(t.Context(), run(`{"kind":"sync"}`))
	require.NoError(t, err)
	assert.Equal(t, Facts{JobID: 1, Kind: "sync", Queue: "default", State: "available"}, factsOf(t, result))
	assert.Empty(t, result.Output)
	assert.Zero(t, q.looked)
}

func TestWithWaitARunEndsAsItsJobDoes(t *testing.T) {
	failure := func(row *rivertype.JobRow) {
		row.Errors = []rivertype.AttemptError{{Error: "first"}, {Error: "no route\nto crm, token=sk-abcdefghijklmnopqrstuvwxyz0123456789"}}
	}
	cases := []struct {
		name      string
		state     rivertype.JobState
		change    func(*rivertype.JobRow)
		output    string
		failed    string
		permanent bool
	}{
		{"completed", rivertype.JobStateCompleted, nil, "", "", false},
		{"with a text", rivertype.JobStateCompleted, func(row *rivertype.JobRow) { row.Metadata = []byte(`{"output":"42 rows"}`) }, "42 rows", "", false},
		{"with JSON", rivertype.JobStateCompleted, func(row *rivertype.JobRow) { row.Metadata = []byte(`{"output":{"rows":42}}`) }, `{"rows":42}`, "", false},
		{"given up", rivertype.JobStateDiscarded, failure, "", "river: job 1 was discarded after 3 attempts: no route to crm", false},
		{"cancelled", rivertype.JobStateCancelled, nil, "", "river: job 1 was cancelled after 3 attempts", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, begun := &queue{}, time.Now()
				q.endsAfter(90*time.Second+time.Millisecond, c.state, c.change)
				result, err := New(q).Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
				assert.Equal(t, 91*time.Second, time.Since(begun))
				assert.Equal(t, c.output, result.Output)
				assert.Equal(t, string(c.state), factsOf(t, result).State)
				assert.Equal(t, 3, factsOf(t, result).Attempts)
				assert.Equal(t, c.permanent, punctual.IsPermanent(err))
				if c.failed == "" {
					assert.NoError(t, err)
					return
				}
				assert.ErrorContains(t, err, c.failed)
				assert.NotContains(t, err.Error(), "sk-abc")
				var failed *JobError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, c.state, failed.State)
			})
		})
	}
}

func TestAnAttemptThatTakesOverWaitsForTheSameJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		e := New(q)
		for _, cause := range []error{punctual.ErrShutdown, punctual.ErrLeaseLost} {
			ctx, end := context.WithCancelCause(t.Context())
			time.AfterFunc(1500*time.Millisecond, func() { end(cause) })
			_, err := e.Execute(ctx, run(`{"kind":"sync","wait":true}`))
			require.ErrorIs(t, err, cause)
		}
		assert.Zero(t, q.canceled)
		q.endsAfter(time.Minute, rivertype.JobStateCompleted, nil)
		result, err := e.Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
		require.NoError(t, err)
		assert.True(t, factsOf(t, result).Found)
		assert.Equal(t, 1, q.inserted)
	})
}

func TestAnAttemptThatIsGivenUpTakesItsJobAlong(t *testing.T) {
	for _, cause := range []error{punctual.ErrTimeout, punctual.ErrCanceled, punctual.ErrReplaced} {
		synctest.Test(t, func(t *testing.T) {
			q, begun := &queue{obeys: 19500 * time.Millisecond}, time.Now()
			ctx, end := context.WithCancelCause(t.Context())
			time.AfterFunc(10*time.Second, func() { end(cause) })
			result, err := New(q).Execute(ctx, run(`{"kind":"sync","wait":true}`))
			require.ErrorIs(t, err, cause)
			assert.False(t, punctual.IsPermanent(err))
			assert.Equal(t, 1, q.canceled)
			assert.Equal(t, 30*time.Second, time.Since(begun), "it is in flight until the job has ended")
			assert.Equal(t, "cancelled", factsOf(t, result).State)
		})
	}
}

func TestAnAttemptThatEndsDuringALookTakesItsJobAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		q := &queue{}
		q.during = func() error {
			end(punctual.ErrTimeout)
			q.during = nil
			return ctx.Err()
		}
		_, err := New(q, WithPollInterval(2*patience)).Execute(ctx, run(`{"kind":"sync","wait":true}`))
		require.ErrorIs(t, err, punctual.ErrTimeout)
		assert.Equal(t, 1, q.canceled)
	})
}

func TestAJobThatDoesNotEndIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := &queue{obeys: time.Hour}, time.Now()
		ctx, end := context.WithCancelCause(t.Context())
		end(punctual.ErrTimeout)
		_, err := New(q).Execute(ctx, run(`{"kind":"sync","wait":true}`))
		require.ErrorIs(t, err, punctual.ErrTimeout)
		assert.ErrorContains(t, err, "the job goes on")
		assert.Equal(t, patience, time.Since(begun))
		assert.Equal(t, 1, q.canceled)
	})
}

func TestAnotherAttemptInsertsAnotherJobWhenTheFirstWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		q.endsAfter(time.Second, rivertype.JobStateDiscarded, nil)
		_, err := New(q).Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
		require.Error(t, err)
		q.endsAfter(time.Second, rivertype.JobStateCompleted, nil)
		result, err := New(q).Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
		require.NoError(t, err)
		assert.Equal(t, int64(2), factsOf(t, result).JobID)
		assert.False(t, factsOf(t, result).Found)
	})
}

func TestAnOutageOfRiverIsBorneForAMinute(t *testing.T) {
	outage := errors.New("connection refused")
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		q.change(5*time.Second, func() { q.broken = outage })
		q.change(60*time.Second, func() { q.broken = nil })
		q.endsAfter(2*time.Minute, rivertype.JobStateCompleted, nil)
		_, err := New(q).Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
		require.NoError(t, err)

		q.job, q.broken = nil, outage
		begun := time.Now()
		_, err = New(q).Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
		require.ErrorIs(t, err, outage)
		assert.False(t, punctual.IsPermanent(err), "the next attempt finds the job")
		assert.Equal(t, patience, time.Since(begun))

		q.job, q.broken = nil, rivertype.ErrNotFound
		_, err = New(q).Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
		require.ErrorIs(t, err, rivertype.ErrNotFound)
		assert.True(t, punctual.IsPermanent(err), "somebody has deleted it")
	})
}

func TestThePollIntervalIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		q.endsAfter(time.Minute, rivertype.JobStateCompleted, nil)
		_, err := New(q, WithPollInterval(7*time.Second)).Execute(t.Context(), run(`{"kind":"sync","wait":true}`))
		require.NoError(t, err)
		assert.Equal(t, 9, q.looked)
	})
}

func TestWhatCannotBeInserted(t *testing.T) {
	q := &queue{refused: errors.New("connection refused")}
	_, err := New(q).Execute(t.Context(), run(`{"kind":"sync"}`))
	require.ErrorIs(t, err, q.refused)
	assert.False(t, punctual.IsPermanent(err))
	q.refused = &river.UnknownJobKindError{}
	_, err = New(q).Execute(t.Context(), run(`{"kind":"sync"}`))
	assert.True(t, punctual.IsPermanent(err), err)
	_, err = New(q).Execute(t.Context(), run(`{"kind":"sync","quue":"x"}`))
	require.ErrorIs(t, err, ErrInvalidJob)
	assert.True(t, punctual.IsPermanent(err), err)
}

func TestJobsAreValidated(t *testing.T) {
	for text, want := range map[string]string{
		`{"args":{}}`:                                    "kind is required",
		`{"kind":"sync","args":[1]}`:                     "must be a JSON object",
		`{"kind":"sync","args":null}`:                    "",
		`{"kind":"sync","args":"x"}`:                     "must be a JSON object",
		`{"kind":"sync","args":{"punctual_run_id":"x"}}`: "set by the executor",
		`{"kind":"sync","priority":5}`:                   "from 1 to 4",
		`{"kind":"sync","priority":-1}`:                  "from 1 to 4",
		`{"kind":"sync","max_attempts":-1}`:              "must not be negative",
	} {
		var j Job
		require.NoError(t, json.Unmarshal([]byte(text), &j), text)
		_, err := NewPayload(j)
		if want == "" {
			assert.NoError(t, err, text)
			continue
		}
		assert.ErrorContains(t, err, want, text)
		assert.ErrorIs(t, err, ErrInvalidJob, text)
	}
}

func TestArgumentsKeepWhatTheyAreAndGetTheRun(t *testing.T) {
	for own, want := range map[string]string{
		`null`:                    `{"punctual_run_id":"a \"run\""}`,
		``:                        `{"punctual_run_id":"a \"run\""}`,
		`{}`:                      `{"punctual_run_id":"a \"run\""}`,
		" { \n } ":                `{"punctual_run_id":"a \"run\""}`,
		`{"n":12345678901234567}`: `{"n":12345678901234567,"punctual_run_id":"a \"run\""}`,
	} {
		encoded, err := json.Marshal(args{`a "run"`, &Job{Args: json.RawMessage(own)}})
		require.NoError(t, err)
		assert.Equal(t, want, strings.ReplaceAll(string(encoded), " ", " "), own)
	}
}

func TestAJobTellsItsRun(t *testing.T) {
	q := &queue{}
	r := run(`{"kind":"sync"}`)
	r.Trigger, r.ScheduledAt = punctual.TriggerSchedule, time.Date(2027, 1, 1, 9, 0, 0, 0, time.FixedZone("", 3600))
	_, err := New(q).Execute(t.Context(), r)
	require.NoError(t, err)
	info, ok := RunOf(q.job)
	require.True(t, ok)
	assert.Equal(t, RunInfo{"the run", "a task", "schedule", r.ScheduledAt.UTC()}, info)
	_, ok = RunOf(&rivertype.JobRow{Metadata: []byte(`{}`)})
	assert.False(t, ok)
}
