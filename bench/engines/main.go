// Command engines compares how schedulers run tasks on time: Punctual on its memory store, its peers, and two floors that keep
// nothing and only start host code.
//
//	go run ./engines -quick                          measures small and short, and prints the tables in Markdown
//	go run ./engines -quick -scenarios burst,growth -libraries punctual,heap
//	go run ./engines -write ../docs/benchmarks.md    measures, and writes the results, the plots and the tables of the document
//	go run ./engines -again ../docs/benchmarks.md    writes plots and tables again, from the results of the last time
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

	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == trial.Flag {
		exit(trial.Serve(os.Stdin, os.Stdout, child))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(compare(ctx, os.Args[1:], os.Stdout, os.Stderr))
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
	flags := flag.NewFlagSet("engines", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "measure small and short")
	rounds := flags.Int("rounds", 0, "how often each library is measured in each scenario; 0 for what the size says")
	only := flags.String("scenarios", "", "measure only these, by their keys, separated by commas; growth is one of them")
	onlyLibraries := flags.String("libraries", "", "measure only these, by their keys, separated by commas")
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
	var err error
	if c.libraries, err = report.Choose(libraries, *onlyLibraries, func(lib library) string { return lib.key }); err != nil {
		return err
	}
	growth := scenario{key: growthKey}
	if c.scenarios, err = report.Choose(append(slices.Clone(scenarios), growth), *only, func(sc scenario) string { return sc.key }); err != nil {
		return err
	}
	if last := len(c.scenarios) - 1; c.scenarios[last].key == growthKey {
		c.scenarios, c.growth = c.scenarios[:last], true
	}
	if *page != "" {
		// After each round, so that a run which is interrupted has not been for nothing.
		c.after = func(r *results) error {
			if err := os.MkdirAll(folder(*page), 0o755); err != nil {
				return err
			}
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
	text := r.basis()
	if len(c.scenarios) > 0 {
		text += "\n" + r.overview()
	}
	if c.growth {
		text += "\n" + r.growth()
	}
	_, err = io.WriteString(out, text)
	return err
}
