package river_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	riverqueue "github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/river"
	"github.com/punctual-go/punctual/store/memory"
)

type syncArgs struct {
	Account string `json:"account"`
}

func (syncArgs) Kind() string { return "sync" }

// syncer works on jobs as told by the account.
type syncer struct {
	riverqueue.WorkerDefaults[syncArgs]
	begun  atomic.Int32
	starts chan river.RunInfo
}

func (w *syncer) Work(ctx context.Context, job *riverqueue.Job[syncArgs]) error {
	w.begun.Add(1)
	info, _ := river.RunOf(job.JobRow)
	w.starts <- info
	switch job.Args.Account {
	case "bad":
		return errors.New("no such account")
	case "slow":
		<-ctx.Done()
		return ctx.Err()
	}
	return riverqueue.RecordOutput(ctx, job.Args.Account+" is up to date")
}

// With real workers: a job for each run, its outcome in the ledger, and no second job for what is repeated.
func TestRealWorkersDoTheWork(t *testing.T) {
	pool := database(t)
	worker := &syncer{starts: make(chan river.RunInfo, 10)}
	workers := riverqueue.NewWorkers()
	riverqueue.AddWorker(workers, worker)
	client, err := riverqueue.NewClient(riverpgxv5.New(pool), &riverqueue.Config{
		Workers: workers, Queues: map[string]riverqueue.QueueConfig{riverqueue.QueueDefault: {MaxWorkers: 5}}, FetchPollInterval: 50 * time.Millisecond,
		FetchCooldown: 10 * time.Millisecond,
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	defer func() { require.NoError(t, client.StopAndCancel(context.WithoutCancel(t.Context()))) }()

	e := river.New(client, river.WithPollInterval(10*time.Millisecond))
	s, err := punctual.New(memory.New(), e)
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	defer func() { require.NoError(t, s.Close()) }()
	payloads := make(map[string]json.RawMessage)
	add := func(account string) punctual.Run {
		payload, err := river.NewPayload(river.Job{
			Kind: "sync", Args: json.RawMessage(`{"account":"` + account + `"}`), MaxAttempts: 1, Priority: 2, Tags: []string{"crm"}, Wait: true,
		})
		require.NoError(t, err)
		payloads[account] = payload
		require.NoError(t, s.Add(t.Context(), punctual.Task{ID: account, Schedule: punctual.Every(time.Hour), Payload: payload}))
		info := <-worker.starts
		assert.Equal(t, account, info.TaskID)
		run, err := s.Run(t.Context(), info.RunID)
		require.NoError(t, err)
		return run
	}
	end := func(id string) (run punctual.Run) {
		require.Eventually(t, func() bool {
			run, err = s.Run(t.Context(), id)
			return err == nil && run.State.Final()
		}, time.Minute, 5*time.Millisecond)
		return run
	}

	good := end(add("good").ID)
	assert.Equal(t, punctual.StateSucceeded, good.State, good.Error)
	assert.Equal(t, "good is up to date", good.Result.Output)
	var facts river.Facts
	require.NoError(t, json.Unmarshal(good.Result.Facts, &facts))
	row, err := client.JobGet(t.Context(), facts.JobID)
	require.NoError(t, err)
	assert.Equal(t, []any{"sync", 2, []string{"crm"}, 1, rivertype.JobStateCompleted}, []any{row.Kind, row.Priority, row.Tags, row.MaxAttempts, row.State})

	good.Payload = payloads["good"]
	repeated, err := e.Execute(t.Context(), good) // as after a result that was lost with its process
	require.NoError(t, err)
	assert.Equal(t, good.Result.Output, repeated.Output)
	assert.Equal(t, int32(1), worker.begun.Load())

	bad := end(add("bad").ID)
	assert.Equal(t, punctual.StateFailed, bad.State)
	assert.Contains(t, bad.Error, "was discarded after 1 attempts: no such account")

	slow := add("slow")
	require.NoError(t, s.Cancel(t.Context(), slow.ID))
	slow = end(slow.ID)
	assert.Equal(t, punctual.StateCanceled, slow.State)
	require.NoError(t, json.Unmarshal(slow.Result.Facts, &facts))
	row, err = client.JobGet(t.Context(), facts.JobID)
	require.NoError(t, err)
	assert.Equal(t, rivertype.JobStateCancelled, row.State, "the work has ended with the run")

	good.ID = "a run of another kind"
	good.Payload = json.RawMessage(`{"kind":"unknown"}`)
	_, err = e.Execute(t.Context(), good)
	assert.True(t, punctual.IsPermanent(err), err)
}

// database makes a schema with River's tables, which is gone after the test, and returns a pool that looks there.
func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	dsn := cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_DSN"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
	admin, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") == "1" {
			t.Fatalf("PostgreSQL is missing, and PUNCTUAL_REQUIRE_SERVICES is set: %v", err)
		}
		t.Skipf("needs PostgreSQL (PUNCTUAL_POSTGRES_DSN): %v", err)
	}
	schema := fmt.Sprintf("punctual_exec_%d_%d", os.Getpid(), time.Now().UnixNano())
	quoted := pgx.Identifier{schema}.Sanitize()
	_, err = admin.Exec(context.Background(), "CREATE SCHEMA "+quoted)
	require.NoError(t, err)
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(func() {
		pool.Close()
		_, err := admin.Exec(context.Background(), "DROP SCHEMA "+quoted+" CASCADE")
		assert.NoError(t, err)
		assert.NoError(t, admin.Close(context.Background()))
	})
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	require.NoError(t, err)
	_, err = migrator.Migrate(context.Background(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	return pool
}
