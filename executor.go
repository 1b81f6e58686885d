package punctual

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
)

// Executor does the work of one attempt.
//
// Execute is called in a goroutine that does nothing else until it returns, and may be called many times at once. A later run may get the
// same goroutine, so what was done to it has to be undone, as with runtime.LockOSThread. The context carries the values of the
// Start context and the run (RunFromContext); it is cancelled when the attempt exceeds Task.Timeout, is cancelled, loses its
// lease or the Scheduler stops for good, and context.Cause then tells which. The attempt counts as in flight until Execute
// returns, whatever the context says.
//
//   - A nil error makes the run succeed with the Result.
//   - An error fails the attempt. The task's Retry policy decides about another one, unless the error is marked by Permanent;
//     RetryAfter sets the wait, and Skip ends the run as skipped. The Result of a failed last attempt is kept beside its error.
//   - A panic is recovered and fails the attempt with its stack in the ledger.
//
// At-least-once tasks may execute a run again after a crash: use Run.ID, which stays the same, as idempotency key.
type Executor interface {
	Execute(ctx context.Context, run Run) (Result, error)
}

// ExecutorFunc makes a function an Executor.
type ExecutorFunc func(ctx context.Context, run Run) (Result, error)

// Execute calls f.
func (f ExecutorFunc) Execute(ctx context.Context, run Run) (Result, error) { return f(ctx, run) }

// Middleware wraps an Executor with behaviour around each attempt.
type Middleware func(Executor) Executor

// Chain wraps executor with the given middleware; the first is the outermost. The result handles the same kinds as executor.
func Chain(executor Executor, middleware ...Middleware) Executor {
	wrapped := executor
	for i := len(middleware) - 1; i >= 0; i-- {
		wrapped = middleware[i](wrapped)
	}
	if lister, ok := executor.(KindLister); ok {
		return chained{wrapped, lister}
	}
	return wrapped
}

type chained struct {
	Executor
	KindLister
}

// KindLister is what an Executor implements to be given only the runs of certain kinds. A Scheduler claims nothing else, so
// services with different handlers can share one store; a run of a kind that no instance handles waits.
type KindLister interface {
	// Kinds returns the kinds that this executor handles; nil means all. It is asked before each claim and must be quick
	// and safe for concurrent use.
	Kinds() []string
}

// Mux dispatches runs to the executor registered for their Kind. The zero value is ready to use; handlers may be added while
// the Scheduler runs.
type Mux struct {
	mu       sync.RWMutex
	handlers map[string]Executor
	kinds    []string
}

// Handle registers the executor for a kind; the empty kind is that of tasks without one. It panics when the kind has an
// executor already or executor is nil, since both are mistakes in the program.
func (m *Mux) Handle(kind string, executor Executor) {
	if executor == nil {
		panic(fmt.Sprintf("punctual: nil executor for kind %q", kind))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.handlers[kind]; taken {
		panic(fmt.Sprintf("punctual: kind %q has an executor already", kind))
	}
	if m.handlers == nil {
		m.handlers = make(map[string]Executor)
	}
	m.handlers[kind] = executor
	kinds := make([]string, 0, len(m.handlers))
	for k := range m.handlers {
		kinds = append(kinds, k)
	}
	sort.Strings(kinds)
	m.kinds = kinds
}

// HandleFunc registers a function for a kind; see Handle.
func (m *Mux) HandleFunc(kind string, f func(ctx context.Context, run Run) (Result, error)) {
	m.Handle(kind, ExecutorFunc(f))
}

// Execute dispatches to the executor of run.Kind, or answers with a permanent ErrNoHandler.
func (m *Mux) Execute(ctx context.Context, run Run) (Result, error) {
	m.mu.RLock()
	executor := m.handlers[run.Kind]
	m.mu.RUnlock()
	if executor == nil {
		return Result{}, Permanent(fmt.Errorf("%w: %q", ErrNoHandler, run.Kind))
	}
	return executor.Execute(ctx, run)
}

// Kinds returns the registered kinds in order.
func (m *Mux) Kinds() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.kinds == nil {
		return []string{}
	}
	return m.kinds
}

// Handle registers a typed handler for a kind: the task's payload is decoded into a T before f is called. A payload that does
// not decode fails the run permanently, since trying again cannot help. An absent payload gives the zero T.
//
//	punctual.Handle(mux, "report", func(ctx context.Context, run punctual.Run, p ReportParams) (punctual.Result, error) { ... })
func Handle[T any](m *Mux, kind string, f func(ctx context.Context, run Run, payload T) (Result, error)) {
	m.Handle(kind, ExecutorFunc(func(ctx context.Context, run Run) (Result, error) {
		var payload T
		if len(run.Payload) > 0 {
			if err := json.Unmarshal(run.Payload, &payload); err != nil {
				return Result{}, Permanent(fmt.Errorf("punctual: payload of task %q is not a %T: %w", run.TaskID, payload, err))
			}
		}
		return f(ctx, run, payload)
	}))
}
