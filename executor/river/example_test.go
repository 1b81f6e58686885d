package river_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	riverqueue "github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/river"
	"github.com/punctual-go/punctual/store/memory"
)

// Workers of River do the work at the times of Punctual, and the ledger has what became of it.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	client, err := riverqueue.NewClient(riverpgxv5.New(pool), &riverqueue.Config{}) // inserts only; the workers are elsewhere
	if err != nil {
		panic(err)
	}
	s, err := punctual.New(memory.New(), river.New(client, river.WithPollInterval(500*time.Millisecond)))
	if err != nil {
		panic(err)
	}
	payload, err := river.NewPayload(river.Job{Kind: "sync", Args: json.RawMessage(`{"account":"crm"}`), Queue: "crm", Wait: true})
	if err != nil {
		panic(err)
	}
	if err := s.Add(ctx, punctual.Task{ID: "sync-crm", Schedule: punctual.Every(30 * time.Minute), Payload: payload, Timeout: 10 * time.Minute}); err != nil {
		panic(err)
	}
	if err := s.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = s.Shutdown(ctx) }()
}

func ExampleJob_Validate() {
	fmt.Println(river.Job{Kind: "sync", Priority: 5}.Validate())
	// Output: river: invalid job: priority must be from 1 to 4
}

// A worker asks for which instant it works.
func ExampleRunOf() {
	job := &rivertype.JobRow{Metadata: []byte(`{"punctual":{"run_id":"0deg","task_id":"report","trigger":"schedule","scheduled_at":"2027-01-04T09:00:00Z"}}`)}
	if run, ok := river.RunOf(job); ok {
		fmt.Println(run.TaskID, run.ScheduledAt.Format(time.DateOnly))
	}
	// Output: report 2027-01-04
}
