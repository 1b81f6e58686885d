package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// Execution is one call of host code.
type Execution struct {
	Process     *Process
	Run         punctual.Run
	Begun       time.Time
	Ended       time.Time // zero when it never did
	CancelledAt time.Time // when its context ended; zero when it did not
	Cause       error     // why it ended
	Err         error     // what it returned
	Output      string    // tells this execution from all others
}

// Executions returns what host code has been asked to do so far, in the order in which it began.
func (w *World) Executions() []Execution {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Execution, len(w.executions))
	for i, e := range w.executions {
		all[i] = *e
	}
	return all
}

// Work is what host code does in one execution.
type Work struct {
	Takes time.Duration
	Deaf  time.Duration // goes on for so long after its context has ended
	Err   error
	Panic bool
	Exit  bool                                    // ends its goroutine
	First func(ctx context.Context, e *Execution) // comes before all that; nil for nothing
}

// host is the executor of a process.
type host struct {
	world   *World
	process *Process
}

// Kinds implements punctual.KindLister.
func (h *host) Kinds() []string { return h.process.Setup.Kinds }

func (h *host) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	w, p := h.world, h.process
	e := &Execution{Process: p, Run: run, Begun: bubble.Now()}
	w.mu.Lock()
	w.executions = append(w.executions, e)
	e.Output = fmt.Sprintf("execution %d", len(w.executions))
	w.noteLocked("%s begins %s: task %s run %s attempt %d", p.Name, e.Output, run.TaskID, run.ID, run.Attempt)
	w.mu.Unlock()
	work := w.work(e)
	done := make(chan struct{})
	defer close(done)
	w.background.Go(func() {
		select {
		case <-ctx.Done():
			w.mu.Lock()
			e.CancelledAt, e.Cause = bubble.Now(), context.Cause(ctx)
			w.noteLocked("%s cancels %s of run %s: %v", p.Name, e.Output, run.ID, e.Cause)
			w.mu.Unlock()
		case <-done:
		}
	})
	if work.First != nil {
		if work.First(ctx, e); !p.power.on() {
			return punctual.Result{}, errDead
		}
	}
	if !sleep(ctx, work.Takes) {
		sleep(context.Background(), work.Deaf)
		if work.Err == nil && work.Deaf == 0 {
			work.Err = context.Cause(ctx)
		}
	}
	if !p.power.on() {
		return punctual.Result{}, errDead // it was killed: nobody sees this
	}
	w.mu.Lock()
	e.Ended, e.Err = bubble.Now(), work.Err
	if work.Panic {
		e.Err = errors.New("panic")
	}
	if work.Exit {
		e.Err = errors.New("exit")
	}
	w.noteLocked("%s ends %s of run %s: %v", p.Name, e.Output, run.ID, e.Err)
	w.mu.Unlock()
	switch {
	case work.Panic:
		panic(e.Output)
	case work.Exit:
		runtime.Goexit()
	case work.Err != nil:
		return punctual.Result{}, fmt.Errorf("%s: %w", e.Output, work.Err)
	}
	return punctual.Result{Output: e.Output}, nil
}

// own reports whether a text comes from this execution.
func (e *Execution) own(text string) bool {
	rest, ok := strings.CutPrefix(text, e.Output)
	return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
}

// over is when host code stopped to matter for others: it returned, its process was killed, or it had been told to stop when the lease
// lapsed, after which the library can do no more about it. The zero time means never.
func (e *Execution) over() time.Time {
	ended := e.Ended
	if !e.CancelledAt.IsZero() {
		ended = earlier(ended, latest(e.CancelledAt, e.Process.world.store.lapses(e.Run.Session)))
	}
	e.Process.mu.Lock()
	defer e.Process.mu.Unlock()
	return earlier(ended, e.Process.killedAt)
}

// told is when host code was told to stop, or stopped by itself; until when neither happened.
func (e *Execution) told(until time.Time) time.Time {
	e.Process.mu.Lock()
	defer e.Process.mu.Unlock()
	return earlier(until, earlier(earlier(e.Ended, e.CancelledAt), e.Process.killedAt))
}

// unaware reports whether its process has had no time until the given instant to notice that the lease of the execution has lapsed: from
// when a process trusts its lease no more, it gets to run for the margin. A process that is frozen cannot know.
func (e *Execution) unaware(at time.Time) bool {
	lapsed := e.Process.world.store.lapses(e.Run.Session)
	return e.Process.ran(lapsed.Add(-margin), at) <= margin
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the earlier of two instants, of which zero ones stand for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
