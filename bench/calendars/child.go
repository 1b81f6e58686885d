package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Peers can hang, and a goroutine that hangs cannot be ended. So each question is answered by a child: the program itself, started with
// childFlag, which reads one order from its standard input and writes one event per line. Whatever takes too long is killed, and the
// instants that came before still count.

// childFlag as the first argument makes the program a child.
const childFlag = "-child"

// order is what a child is to do: to answer a question, or to time one.
type order struct {
	Question *question     `json:",omitempty"`
	Timing   *timing       `json:",omitempty"`
	Trouble  trouble       `json:",omitempty"` // for tests
	Length   time.Duration `json:",omitempty"` // of a timing
}

// trouble is what a child does for tests of its parent, after a first instant.
type trouble string

const (
	troubleHang  trouble = "hang"
	troublePanic trouble = "panic"
	troubleExit  trouble = "exit"
)

// event is a line of a child: an instant, or the end and what belongs to it.
type event struct {
	At     *time.Time `json:",omitempty"`
	End    end        `json:",omitempty"`
	Reason string     `json:",omitempty"`
	NsOp   float64    `json:",omitempty"` // of a timing
	Sum    int64      `json:",omitempty"` // of a timing: of the instants, so that libraries with the same ones can be told
}

// child carries out one order.
func child(in io.Reader, out io.Writer) (err error) {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	lines := json.NewEncoder(out)
	defer func() {
		if p := recover(); p != nil {
			err = lines.Encode(event{End: endPanic, Reason: fmt.Sprint(p)})
		}
	}()
	switch {
	case o.Trouble != "":
		return cause(o.Trouble, lines)
	case o.Question != nil:
		return reply(*o.Question, lines)
	case o.Timing != nil:
		return measure(*o.Timing, o.Length, lines)
	}
	return errors.New("the order is empty")
}

// cause causes trouble.
func cause(kind trouble, lines *json.Encoder) error {
	at := time.Unix(0, 0)
	if err := lines.Encode(event{At: &at}); err != nil {
		return err
	}
	switch kind {
	case troublePanic:
		panic("as ordered")
	case troubleExit:
		os.Exit(3)
	}
	for { // busy for ever, like a search that never ends
		runtime.Gosched()
	}
}

// reply answers a question.
func reply(q question, lines *json.Encoder) error {
	lib, err := libraryOf(q.Library)
	if err != nil {
		return err
	}
	loc, err := time.LoadLocation(q.Zone)
	if err != nil {
		return err
	}
	following, err := lib.follow(q.Expr, loc, q.After)
	if err != nil {
		return lines.Encode(event{End: endRefused, Reason: err.Error()})
	}
	for i := range q.Count {
		at, err := following(i)
		if err != nil {
			return lines.Encode(event{End: endFailed, Reason: err.Error()})
		}
		if at.IsZero() {
			return lines.Encode(event{End: endNever})
		}
		if err := lines.Encode(event{At: &at}); err != nil {
			return err
		}
	}
	return lines.Encode(event{End: endDone})
}

// run starts a child for an order and returns its events. A child that takes longer than the limit is killed, and the last event
// says so; one that ends without saying how has crashed.
func run(ctx context.Context, o order, limit time.Duration) ([]event, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(limited, program, childFlag)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &complaints
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // a race-enabled program would sleep for a second before it exits
	failure := cmd.Run()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	events, ended, err := read(&out)
	switch {
	case err != nil:
		return nil, err
	case ended:
		return events, nil
	case limited.Err() != nil:
		return append(events, event{End: endHung}), nil
	case failure != nil:
		reason, _, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n")
		return append(events, event{End: endCrashed, Reason: reason}), nil
	}
	return nil, errors.New("a child said nothing about its end")
}

// read reads the lines of a child. The last one may be cut off.
func read(out io.Reader) (events []event, ended bool, err error) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return events, ended, nil
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, false, fmt.Errorf("a child wrote %q: %w", line, err)
		}
		events, ended = append(events, e), e.End != ""
	}
}

// put asks a child a question.
func put(ctx context.Context, q question, limit time.Duration) (answer, error) {
	events, err := run(ctx, order{Question: &q}, limit)
	if err != nil {
		return answer{}, fmt.Errorf("%s, %s: %w", q.Library, q.Expr, err)
	}
	return collect(events), nil
}

// collect makes one answer of the events of a child.
func collect(events []event) answer {
	var a answer
	for _, e := range events {
		if e.At != nil {
			a.Instants = append(a.Instants, *e.At)
		}
		a.End, a.Reason = e.End, e.Reason
	}
	return a
}
