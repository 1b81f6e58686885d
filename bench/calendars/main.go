// Command calendars compares how Punctual and its peers evaluate calendars: which instants they give through changes of the clock,
// against instants written by hand, and how long one evaluation takes.
//
//	go run ./calendars                              prints the tables in Markdown
//	go run ./calendars -write ../docs/peers.md      puts them into the document
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
	_ "time/tzdata" // for machines without a tz database

	"github.com/punctual-go/punctual/bench/internal/report"
)

// limit is how long a question may take. Answers take microseconds.
const limit = 5 * time.Second

// The parts of the document that the program writes. A part is enclosed by its markers.
const (
	partAnswers = "answers"
	partTimes   = "times"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == childFlag {
		exit(child(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(compare(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// compare asks, times and writes.
func compare(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("calendars", flag.ContinueOnError)
	document := flags.String("write", "", "replace the generated parts of this `file` instead of printing them")
	rounds := flags.Int("rounds", 15, "how often each library is timed for each expression")
	length := flags.Duration("length", 50*time.Millisecond, "how long a round takes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *length <= 0 || flags.NArg() > 0 {
		return errors.New("there has to be at least one round of more than nothing, and no argument but flags")
	}
	answers, err := answersPart(ctx)
	if err != nil {
		return err
	}
	results, err := clock(ctx, *rounds, *length, limit)
	if err != nil {
		return err
	}
	times := timesInMarkdown(results, *rounds, *length, limit, time.Now())
	if *document == "" {
		_, err := io.WriteString(out, answers+"\n"+times)
		return err
	}
	return report.Rewrite(*document, map[string]string{partAnswers: answers, partTimes: times})
}

// answersPart is the part of the document that tells the answers.
func answersPart(ctx context.Context) (string, error) {
	tables, err := evaluate(ctx, groups, libraries, limit)
	if err != nil {
		return "", err
	}
	return answersInMarkdown(groups, libraries, tables, limit)
}
