// Package river is the same program with River, with Punctual, and with both. The page docs/coming-from/river.md shows it.
package river

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/robfig/cron/v3"

	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// syncArgs says which account a job syncs.
type syncArgs struct {
	Account string `json:"account"`
}

func (syncArgs) Kind() string { return "sync" }

type syncWorker struct {
	river.WorkerDefaults[syncArgs]
	work work.Work
}

func (w *syncWorker) Work(ctx context.Context, job *river.Job[syncArgs]) error {
	return w.work.Sync(ctx, job.Args.Account)
}

type reportArgs struct{}

func (reportArgs) Kind() string { return "report" }

type reportWorker struct {
	river.WorkerDefaults[reportArgs]
	work work.Work
}

func (w *reportWorker) Work(ctx context.Context, _ *river.Job[reportArgs]) error {
	return w.work.Report(ctx)
}

// before schedules the work with River.
func before(ctx context.Context, pool *pgxpool.Pool, w work.Work) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &syncWorker{work: w})
	river.AddWorker(workers, &reportWorker{work: w})
	weekdays, err := cron.ParseStandard("CRON_TZ=Europe/Berlin 0 9 * * MON-FRI")
	if err != nil {
		return nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Workers: workers,
		PeriodicJobs: []*river.PeriodicJob{
			river.NewPeriodicJob(
				river.PeriodicInterval(30*time.Minute),
				func() (river.JobArgs, *river.InsertOpts) { return syncArgs{Account: "crm"}, nil },
				&river.PeriodicJobOpts{ID: "sync", RunOnStart: true},
			),
			river.NewPeriodicJob(
				weekdays,
				func() (river.JobArgs, *river.InsertOpts) { return reportArgs{}, nil },
				&river.PeriodicJobOpts{ID: "report"},
			),
		},
	})
	if err != nil {
		return nil, err
	}
	return client, client.Start(ctx)
}

// enqueue asks for one sync in a transaction of the program, so that it happens if and only if the rest of the transaction does.
func enqueue(ctx context.Context, client *river.Client[pgx.Tx], tx pgx.Tx, account string, at time.Time) error {
	_, err := client.InsertTx(ctx, tx, syncArgs{Account: account}, &river.InsertOpts{ScheduledAt: at, MaxAttempts: 5})
	return err
}
