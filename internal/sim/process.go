package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
)

// Process is one instance of a host program: a Scheduler over the shared store, with a clock and a connection of its own.
type Process struct {
	*punctual.Scheduler
	Name string
	Setup

	world *World
	power *power
	born  time.Time
	ctx   context.Context // of its Start
	abort context.CancelCauseFunc

	mu        sync.Mutex // guards all below
	cut       int        // partitions that this process is in
	stopped   int        // freezes that it is in
	freezes   []span
	shutdowns []shutdown
	killedAt  time.Time
	gone      bool // it is not used any more: killed, or shut down
}

// Setup is what a process is like. The zero value handles every kind, without limits of its own.
type Setup struct {
	Kinds   []string                 // that it handles; nil for all
	Waits   bool                     // interval tasks do not run at once unless they say so themselves
	Several map[string]int           // by kind: how many runs at a time
	Every   map[string]time.Duration // by kind: how often, on average
	Hinted  bool                     // it hears of what others do
}

// rateBurst is how many runs of a kind with a rate start at once at most.
const rateBurst = 3

func (s Setup) options() []punctual.Option {
	var opts []punctual.Option
	for kind, n := range s.Several {
		opts = append(opts, punctual.WithKindConcurrency(kind, n))
	}
	for kind, every := range s.Every {
		opts = append(opts, punctual.WithKindRate(kind, every, rateBurst))
	}
	if s.Waits {
		opts = append(opts, punctual.WithRegisterPolicy(punctual.WaitForSchedule))
	}
	return opts
}

// restrained reports whether something might wait for ever though the process lives.
func (s Setup) restrained() bool { return s.Kinds != nil || len(s.Several)+len(s.Every) > 0 }

// span is a stretch of time; to is zero while it lasts.
type span struct{ from, to time.Time }

// shutdown is one call of Shutdown.
type shutdown struct {
	entered, returned, deadline time.Time
	err                         error
	inside                      *Execution // that called it; nil for none
}

// Start makes a process and begins it.
func (w *World) Start(name string, opts ...punctual.Option) *Process {
	p := w.Make(name, Setup{}, opts...)
	p.Begin()
	return p
}

// Make makes a process whose Scheduler is not started yet.
func (w *World) Make(name string, setup Setup, opts ...punctual.Option) *Process {
	p := &Process{Name: name, Setup: setup, world: w, power: newPower(), born: bubble.Now()}
	p.ctx, p.abort = context.WithCancelCause(context.Background())
	link := &link{world: w, process: p, store: w.front}
	if w.spoil != nil {
		link.store = w.spoil(p, w.front)
	}
	opts = append(setup.options(), opts...)
	opts = append([]punctual.Option{
		punctual.WithClock(&processClock{bubble, p.power}), punctual.WithInstance(name), punctual.WithLease(Lease),
		punctual.WithStoreTimeout(5 * time.Second), punctual.WithLogger(w.logger), punctual.WithObserver(punctual.ObserverFunc(func(e punctual.Event) { w.observe(p, e) })),
		punctual.WithRetention(0, 0),
	}, opts...)
	s, err := punctual.New(link.seen(), &host{w, p}, opts...)
	if err != nil {
		panic(err)
	}
	p.Scheduler = s
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	return p
}

// Begin starts its Scheduler.
func (p *Process) Begin() {
	if err := p.Scheduler.Start(p.ctx); err != nil {
		p.world.failf("Start: %v", err)
	}
}

// Kill ends the process at once, as kill -9 does.
func (p *Process) Kill() {
	p.mu.Lock()
	p.killedAt, p.gone = bubble.Now(), true
	p.mu.Unlock()
	p.world.note("%s killed", p.Name)
	p.power.kill()
}

// Freeze stops the process as SIGSTOP does, until Thaw.
func (p *Process) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped++; p.stopped > 1 {
		return
	}
	p.freezes = append(p.freezes, span{from: bubble.Now()})
	p.world.note("%s frozen", p.Name)
	p.power.freeze()
}

// Thaw ends one Freeze.
func (p *Process) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped--; p.stopped > 0 {
		return
	}
	p.freezes[len(p.freezes)-1].to = bubble.Now()
	p.world.note("%s thawed", p.Name)
	p.power.thaw()
}

func (p *Process) frozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped > 0
}

// Jump steps the wall clock of the process.
func (p *Process) Jump(d time.Duration) {
	p.world.note("%s jumps by %v", p.Name, d)
	p.power.jump(d)
}

// Cut takes the process off the network of the store until Heal.
func (p *Process) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut++
	p.world.note("%s cut off", p.Name)
}

// Heal ends one Cut.
func (p *Process) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = max(p.cut-1, 0)
	p.world.note("%s healed", p.Name)
}

func (p *Process) cutOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut > 0
}

// Stop shuts the process down with a deadline and notes how that went. A frozen process gets to it when it is thawed, and one that was
// killed never does.
func (p *Process) Stop(limit time.Duration) error {
	return p.end(limit, nil, func() error {
		ctx, cancel := within(context.Background(), limit)
		defer cancel()
		return p.Shutdown(ctx)
	})
}

// StopInside is Stop as host code does it in the middle of a run, with the context of that.
func (p *Process) StopInside(ctx context.Context, e *Execution, limit time.Duration) {
	_ = p.end(limit, e, func() error {
		ctx, cancel := within(ctx, limit)
		defer cancel()
		return p.Shutdown(ctx)
	})
}

// Quit closes the process at once, but that each result gets one more try, and the store as long as it may take for each.
func (p *Process) Quit() {
	_ = p.end(30*time.Second, nil, func() error { return errors.Join(p.Close(), errAtOnce) })
}

// Abort ends the context that the process was started with, and then waits for it.
func (p *Process) Abort(limit time.Duration) {
	p.abort(errAtOnce)
	_ = p.end(limit, nil, func() error {
		ctx, cancel := within(context.Background(), limit)
		defer cancel()
		return errors.Join(p.Shutdown(ctx), errAtOnce)
	})
}

// end ends the process in some way and notes how that went.
func (p *Process) end(limit time.Duration, inside *Execution, do func() error) error {
	if !p.power.wait() {
		return errDead
	}
	p.mu.Lock()
	p.gone = true
	n := len(p.shutdowns)
	entered := bubble.Now()
	p.shutdowns = append(p.shutdowns, shutdown{entered: entered, deadline: entered.Add(limit), inside: inside})
	p.mu.Unlock()
	p.world.note("%s shuts down within %v", p.Name, limit)
	err := do()
	p.world.note("%s has shut down: %v", p.Name, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shutdowns[n].returned, p.shutdowns[n].err = bubble.Now(), err
	return err
}

func (p *Process) usable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.gone
}

// wasFrozen reports whether the process was frozen at any time between two instants.
func (p *Process) wasFrozen(from, to time.Time) bool { return p.ran(from, to) < to.Sub(from) }

// ran is how long the process was not frozen between two instants.
func (p *Process) ran(from, to time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := to.Sub(from)
	for _, f := range p.freezes {
		begin, end := latest(f.from, from), earlier(f.to, to)
		if end.After(begin) {
			total -= end.Sub(begin)
		}
	}
	return total
}

// Operation is one call that a host made.
type Operation struct {
	Call     string // such as "Add"
	Process  *Process
	TaskID   string
	Invoked  time.Time
	Returned time.Time // zero when it never did
	Err      error

	number int
}

// Do makes a call for the host, with a limit on how long it takes, and notes what came of it.
func (p *Process) Do(call, taskID string, do func(ctx context.Context) error) error {
	op := &Operation{Call: call, Process: p, TaskID: taskID}
	p.world.mu.Lock()
	p.world.operations = append(p.world.operations, op)
	op.number = len(p.world.operations)
	p.world.mu.Unlock()
	if !p.power.wait() {
		return errDead
	}
	op.Invoked = bubble.Now()
	ctx, cancel := within(context.WithValue(context.Background(), operationKey{}, op), 20*time.Second)
	defer cancel()
	err := do(ctx)
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	op.Returned, op.Err = bubble.Now(), err
	p.world.noteLocked("%s %s %s: %v", p.Name, call, taskID, err)
	return err
}

// Add registers a task.
func (p *Process) Add(task punctual.Task) error {
	return p.Do("Add", task.ID, func(ctx context.Context) error { return p.Scheduler.Add(ctx, task) })
}

// Ensure registers a task unless it is registered in just this way.
func (p *Process) Ensure(task punctual.Task) error {
	return p.Do("Ensure", task.ID, func(ctx context.Context) error { return p.Scheduler.Ensure(ctx, task) })
}

// Reschedule registers a task anew.
func (p *Process) Reschedule(task punctual.Task) error {
	return p.Do("Reschedule", task.ID, func(ctx context.Context) error { return p.Scheduler.Reschedule(ctx, task) })
}

// within is context.WithTimeout in the bubble.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := bubble.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() {
		timer.Stop()
		cancel(context.Canceled)
	}
}

func (p *Process) String() string {
	return fmt.Sprintf("%s (since %s)", p.Name, p.world.clockTime(p.born))
}
