package punctualtest

import (
	"context"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
)

// Recorder is an executor that remembers each attempt. The zero value succeeds at once; with Executor set it lets that one do the work.
// Safe for concurrent use.
type Recorder struct {
	// Executor does the work. Nil succeeds at once. Not to be changed once the Recorder is in use.
	Executor punctual.Executor

	mu       sync.Mutex // guards attempts
	attempts []*Attempt
}

// Attempt is one call of an executor as a Recorder saw it.
type Attempt struct {
	Run    punctual.Run // as the executor got it, with payload and labels
	Ended  bool         // false while the executor is at work, and after a panic
	Result punctual.Result
	Err    error
}

// Execute records the attempt.
func (r *Recorder) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	a := &Attempt{Run: run}
	r.mu.Lock()
	r.attempts = append(r.attempts, a)
	r.mu.Unlock()
	var result punctual.Result
	var err error
	if r.Executor != nil {
		result, err = r.Executor.Execute(ctx, run)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Ended, a.Result, a.Err = true, result, err
	return result, err
}

// Kinds returns what the Executor says; nil, which means all kinds, when it says nothing.
func (r *Recorder) Kinds() []string { return kindsOf(r.Executor) }

func kindsOf(executor punctual.Executor) []string {
	if lister, ok := executor.(punctual.KindLister); ok {
		return lister.Kinds()
	}
	return nil
}

// Attempts returns the attempts at runs of a task, in the order in which they began; of all tasks when the id is empty.
func (r *Recorder) Attempts(taskID string) []Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Attempt
	for _, a := range r.attempts {
		if taskID == "" || a.Run.TaskID == taskID {
			out = append(out, *a)
		}
	}
	return out
}

// Step is what a Script does in one attempt. Any function of this form can be one; Succeed, Fail, Panic, Take and Hold make the usual.
type Step = punctual.ExecutorFunc

// Script is an executor that does what it was told, attempt by attempt. The zero value is ready to use. Tasks of which it was told
// nothing succeed at once. Safe for concurrent use.
//
//	script := new(punctualtest.Script).
//		On("report", punctualtest.Fail(errBusy), punctualtest.Succeed("done")).
//		On("export", punctualtest.Take(90*time.Minute, nil))
type Script struct {
	mu    sync.Mutex // guards all below
	lines map[string]*line
}

// line is what is left to do for one task.
type line struct{ steps []Step }

// On sets what the attempts at runs of a task do, one step each; the last step repeats for ever. A nil step succeeds. It replaces
// what was left of an earlier call for the task. It returns the Script, so that calls can be chained.
func (s *Script) On(taskID string, steps ...Step) *Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = make(map[string]*line)
	}
	s.lines[taskID] = &line{append([]Step(nil), steps...)}
	return s
}

// Execute takes the next step.
func (s *Script) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	return do(ctx, run, s.next(run.TaskID))
}

func (s *Script) next(taskID string) Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[taskID]
	if l == nil || len(l.steps) == 0 {
		return nil
	}
	step := l.steps[0]
	if len(l.steps) > 1 {
		l.steps = l.steps[1:]
	}
	return step
}

func do(ctx context.Context, run punctual.Run, step Step) (punctual.Result, error) {
	if step == nil {
		return punctual.Result{}, nil
	}
	return step(ctx, run)
}

// Succeed is a step that succeeds with an output.
func Succeed(output string) Step {
	return func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{Output: output}, nil
	}
}

// Fail is a step that fails. Mark the error with punctual.Permanent or punctual.RetryAfter to have a word in retrying.
func Fail(err error) Step {
	return func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, err }
}

// Panic is a step that panics.
func Panic(value any) Step {
	return func(context.Context, punctual.Run) (punctual.Result, error) { panic(value) }
}

// Take is a step that takes time on the clock of the Harness and then does another; nil succeeds. When its context ends first, as at
// a timeout or a cancel, it fails with the cause.
func Take(d time.Duration, then Step) Step {
	return func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		if err := Sleep(ctx, d); err != nil {
			return punctual.Result{}, err
		}
		return do(ctx, run, then)
	}
}

// Hold is a step that waits for a Gate and then does another; nil succeeds. When its context ends first, it fails with the cause.
func Hold(gate *Gate, then Step) Step {
	return func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		if err := gate.Wait(ctx); err != nil {
			return punctual.Result{}, err
		}
		return do(ctx, run, then)
	}
}
