// Cluster shows what a store that is shared is for: it starts three instances as processes of their own, kills the one that works on
// a long run, and prints who took over, after how long, and whether the ledger has every occurrence exactly once.
//
//	go run ./cluster                                            # over a SQLite file
//	go run ./cluster -dsn 'postgres://postgres@127.0.0.1/test'  # over PostgreSQL
//	go run ./cluster -dsn 'root@tcp(127.0.0.1:3306)/test'       # over MariaDB or MySQL
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	if os.Getenv(memberVariable) != "" {
		if err := member(); err != nil {
			log.Fatal(err)
		}
		return
	}
	p := plan{Out: os.Stdout}
	flag.StringVar(&p.DSN, "dsn", "", "a file for SQLite, or what PostgreSQL or MySQL is reached by; default a temporary file")
	flag.IntVar(&p.Instances, "instances", 3, "how many processes")
	flag.IntVar(&p.Tasks, "tasks", 20, "how many tasks run every -every")
	flag.DurationVar(&p.Every, "every", 200*time.Millisecond, "the interval of the tasks")
	flag.DurationVar(&p.Lease, "lease", 3*time.Second, "after how long without a sign of life others take over")
	flag.DurationVar(&p.After, "after", 3*time.Second, "for how long it goes on after the takeover")
	flag.Parse()
	if err := show(&p); err != nil {
		log.Fatal(err)
	}
}

// show carries the plan out and prints what came of it.
func show(p *plan) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if p.DSN == "" {
		dir, err := os.MkdirTemp("", "cluster")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p.DSN = filepath.Join(dir, "tasks.db")
	}
	found, err := p.run(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("lost %d, doubled %d, of %d occurrences\n", found.Lost, found.Doubled, found.Occurrences)
	if found.Lost+found.Doubled > 0 {
		return errors.New("the ledger is not whole")
	}
	return nil
}
