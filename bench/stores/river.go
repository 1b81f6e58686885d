package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// River is a queue of jobs on PostgreSQL. It is given as many workers as our instances may execute at a time, and the shortest waits between
// two fetches that it allows; where its defaults matter they are measured as well.

// riverJob is what River carries for one run.
type riverJob struct {
	Task string `json:"task"`
}

// Kind implements river.JobArgs.
func (riverJob) Kind() string { return "run" }

type riverWorker struct {
	river.WorkerDefaults[riverJob]
	work func(job *river.Job[riverJob])
}

// Work implements river.Worker.
func (w *riverWorker) Work(_ context.Context, job *river.Job[riverJob]) error {
	w.work(job)
	return nil
}

// riverServer is River's tables in a schema of their own.
type riverServer struct {
	pool   *pgxpool.Pool
	schema string
}

func openRiver(ctx context.Context, place string) (*riverServer, error) {
	pool, err := pgxpool.New(ctx, postgresDSN())
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: place, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &riverServer{pool, place}, nil
}

func (r *riverServer) Close() { r.pool.Close() }

// client makes a client; it only inserts when work is nil.
func (r *riverServer) client(defaults bool, work func(*river.Job[riverJob])) (*river.Client[pgx.Tx], error) {
	config := &river.Config{Schema: r.schema, Logger: slog.New(slog.DiscardHandler)}
	if work != nil {
		if !defaults {
			config.FetchCooldown, config.FetchPollInterval = river.FetchCooldownMin, river.FetchPollIntervalMin
		}
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: concurrency}}
		config.Workers = river.NewWorkers()
		river.AddWorker(config.Workers, &riverWorker{work: work})
	}
	return river.NewClient(riverpgxv5.New(r.pool), config)
}

// riverBatch is how many jobs are inserted by one call.
const riverBatch = 10_000

// insert inserts jobs that are due at the given times, or at once where they are zero.
func (r *riverServer) insert(ctx context.Context, n int, due func(i int) time.Time) error {
	client, err := r.client(true, nil)
	if err != nil {
		return err
	}
	jobs := make([]river.InsertManyParams, 0, riverBatch)
	for i := range n {
		job := river.InsertManyParams{Args: riverJob{Task: taskName(i)}}
		if at := due(i); !at.IsZero() {
			job.InsertOpts = &river.InsertOpts{ScheduledAt: at}
		}
		if jobs = append(jobs, job); len(jobs) == riverBatch || i == n-1 {
			if _, err := client.InsertManyFast(ctx, jobs); err != nil {
				return err
			}
			jobs = jobs[:0]
		}
	}
	return nil
}

// riverOccurrences measures River: jobs are inserted, and then worked.
func riverOccurrences(ctx context.Context, b backend, place string, s size) (values, error) {
	r, err := openRiver(ctx, place)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	u := watch(ctx, b)
	if err := r.insert(ctx, s.Occurrences, func(int) time.Time { return time.Time{} }); err != nil {
		return nil, err
	}
	inserted, inserting := time.Since(u.began), values{}
	u.each(inserting, s.Occurrences)
	if _, err := r.pool.Exec(ctx, `VACUUM (ANALYZE) `+r.schema+`.river_job`); err != nil {
		return nil, err
	}
	var worked atomic.Int64
	all := make(chan struct{})
	client, err := r.client(false, func(*river.Job[riverJob]) {
		if worked.Add(1) == int64(s.Occurrences) {
			close(all)
		}
	})
	if err != nil {
		return nil, err
	}
	working := watch(ctx, b)
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	select {
	case <-all:
	case <-ctx.Done():
		return nil, fmt.Errorf("%d of %d were worked", worked.Load(), s.Occurrences)
	}
	if err := client.Stop(ctx); err != nil { // which stores the results that are still on their way
		return nil, err
	}
	took := time.Since(working.began)
	n := float64(s.Occurrences)
	v := values{"insert": n / inserted.Seconds(), "work": n / took.Seconds(), "rate": n / (inserted + took).Seconds()}
	working.into(v)
	if all, known := v.cores(true); known {
		v["cpu"] = inserting["cpu"] + all*took.Seconds()/n
	}
	return v, r.completed(ctx, s.Occurrences)
}

func (r *riverServer) completed(ctx context.Context, want int) error {
	var got int
	err := r.pool.QueryRow(ctx, `SELECT count(*) FROM `+r.schema+`.river_job WHERE state = 'completed'`).Scan(&got)
	if err == nil && got != want {
		err = fmt.Errorf("%d of %d jobs are completed", got, want)
	}
	return err
}
