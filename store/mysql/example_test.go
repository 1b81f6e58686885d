package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
)

// A store with connections of its own. Each instance of the program does the same.
func ExampleOpen() {
	ctx := context.Background()
	store, err := mysql.Open(ctx, "app:password@tcp(db.internal:3306)/app",
		mysql.WithTablePrefix("scheduler_"),
		mysql.WithMaxConns(10))
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

// A store on the pool that the program has.
func ExampleNew() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "app:password@tcp(db.internal:3306)/app?interpolateParams=true")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := mysql.New(ctx, db, mysql.WithPollInterval(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close() // before the pool
	fmt.Println("ready")
}

// The order and its task are committed together.
func ExampleStore_Tx() {
	place := func(ctx context.Context, db *sql.DB, store *mysql.Store, s *punctual.Scheduler, order string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after a commit
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (?)", order); err != nil {
			return err
		}
		in := s.In(store.Tx(tx))
		if err := in.Add(ctx, punctual.Task{ID: "remind " + order, Schedule: punctual.Daily("09:00", time.UTC)}); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		in.Committed()
		return nil
	}
	_ = place
}
