package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/sqlite"
)

// What was registered is there when the program starts again.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "punctual")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "tasks.db")

	program := func() error {
		store, err := sqlite.Open(ctx, file,
			sqlite.WithFullSync(),                         // survives the loss of power, too
			sqlite.WithBusyTimeout(2*time.Second),         // for other processes that write
			sqlite.WithPollInterval(100*time.Millisecond)) // and to hear of their edits
		if err != nil {
			return err
		}
		defer store.Close()
		s, err := punctual.New(store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			fmt.Println("runs")
			return punctual.Result{}, nil
		}))
		if err != nil {
			return err
		}
		if err := s.Start(ctx); err != nil {
			return err
		}
		if err := s.Ensure(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(24 * time.Hour)}); err != nil {
			return err
		}
		if err := s.WaitIdle(ctx); err != nil {
			return err
		}
		return s.Shutdown(ctx)
	}
	for range 2 { // the second start finds the task, and runs nothing
		if err := program(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// runs
}

// The task and the host's own row are committed together.
func ExampleStore_Tx() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "punctual")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "tasks.db")
	store, err := sqlite.Open(ctx, file)
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
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE customers (name TEXT)"); err != nil {
		log.Fatal(err)
	}

	welcome := func(name string, commit bool) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after a commit
		if _, err := tx.ExecContext(ctx, "INSERT INTO customers VALUES (?)", name); err != nil {
			return err
		}
		in := s.In(store.Tx(tx))
		if err := in.Add(ctx, punctual.Task{ID: "mail to " + name, Schedule: punctual.Weekly("mon", "09:00", time.UTC)}); err != nil {
			return err
		}
		if !commit {
			return nil
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		in.Committed()
		return nil
	}
	for name, commit := range map[string]bool{"ada": true, "bob": false} {
		if err := welcome(name, commit); err != nil {
			log.Fatal(err)
		}
	}
	tasks, err := s.Tasks(ctx, punctual.TaskQuery{})
	if err != nil {
		log.Fatal(err)
	}
	for _, snapshot := range tasks {
		fmt.Println(snapshot.Task.ID)
	}
	// Output:
	// mail to ada
}
