// Command stores compares durable stores on the servers of one machine: how many occurrences a second they take, how late tasks start, what a
// claim costs among many tasks, and what more instances are worth, beside bare loops that make the same writes and beside River.
//
//	go run ./stores -quick                                    measures small and short, and prints the tables in Markdown
//	go run ./stores -quick -scenarios claims -stores sqlite   some of it
//	go run ./stores -write ../docs/benchmarks-stores.md       measures, and writes the results, the plots and the tables of the document
//	go run ./stores -again ../docs/benchmarks-stores.md       writes plots and tables again, from the results of the last time
//
// It uses the servers that PUNCTUAL_POSTGRES_DSN and PUNCTUAL_MYSQL_DSN name, those on this machine by default, and leaves nothing there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

func main() {
	exit(run(os.Args[1:]))
}

// run does what the first argument says.
func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 1 && args[0] == trial.Flag:
		return trial.Serve(os.Stdin, os.Stdout, child)
	case len(args) == 3 && args[0] == instanceFlag:
		return instance(ctx, args[1], args[2], os.Stdin, os.Stdout)
	}
	return compare(ctx, args, os.Stdout, os.Stderr)
}

func exit(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// compare measures and writes.
func compare(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("stores", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "measure small and short")
	rounds := flags.Int("rounds", 0, "how often what has rounds is measured; 0 for what the size says")
	only := flags.String("scenarios", "", "measure only these, separated by commas: "+fmt.Sprint(groups))
	onlyStores := flags.String("stores", "", "measure only these, by their keys, separated by commas: postgres, mysql, sqlite")
	page := flags.String("write", "", "write into this `file`, and beside it, instead of printing")
	again := flags.String("again", "", "measure nothing, and write this `file` from the results beside it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 0 || flags.NArg() > 0 {
		return errors.New("there has to be at least one round, and no argument but flags")
	}
	if *again != "" {
		r, err := load(filepath.Join(folder(*again), resultsFile))
		if err != nil {
			return err
		}
		return r.publish(*again)
	}
	c := campaign{size: fullSize, progress: progress}
	if *quick {
		c.size = quickSize
	}
	if *rounds > 0 {
		c.size.Rounds = *rounds
	}
	chosen, err := report.Choose(groups, *only, func(group string) string { return group })
	if err != nil {
		return err
	}
	if c.backends, err = report.Choose(backends, *onlyStores, func(b backend) string { return b.key }); err != nil {
		return err
	}
	for _, sc := range scenariosOf(c.size) {
		if slices.Contains(chosen, sc.group) {
			c.scenarios = append(c.scenarios, sc)
		}
	}
	if *page != "" {
		c.after = func(r *results) error {
			if err := r.save(filepath.Join(folder(*page), resultsFile)); err != nil {
				return err
			}
			return r.publish(*page)
		}
	}
	r, err := c.run(ctx)
	if err != nil || *page != "" {
		return err
	}
	_, err = io.WriteString(out, r.basis())
	for _, group := range chosen {
		if err == nil {
			_, err = io.WriteString(out, "\n"+r.part(group))
		}
	}
	return err
}
