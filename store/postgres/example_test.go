package postgres_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/postgres"
)

// A store with connections of its own. Each instance of the program does the same.
func ExampleOpen() {
	ctx := context.Background()
	store, err := postgres.Open(ctx, "postgres://app@db.internal/app?pool_max_conns=10",
		postgres.WithSchema("scheduler"),
		postgres.WithLogger(slog.Default()))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	s, err := punctual.New(store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Ensure(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(30 * time.Minute)}); err != nil {
		log.Fatal(err)
	}
	if err := s.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// A store on the pool that the program has, behind a pooler.
func ExampleNew() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://app@pgbouncer.internal:6432/app")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := postgres.New(ctx, pool,
		postgres.WithPooler(true), // else it finds out by itself
		postgres.WithPollInterval(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close() // before the pool
	fmt.Println("ready")
}

// The order and its task are committed together.
func ExampleStore_Tx() {
	place := func(ctx context.Context, pool *pgxpool.Pool, store *postgres.Store, s *punctual.Scheduler, order string) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit
		if _, err := tx.Exec(ctx, "INSERT INTO orders (id) VALUES ($1)", order); err != nil {
			return err
		}
		in := s.In(store.Tx(tx))
		if err := in.Add(ctx, punctual.Task{ID: "remind " + order, Schedule: punctual.Daily("09:00", time.UTC)}); err != nil {
			return err
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
		in.Committed()
		return nil
	}
	_ = place
}
