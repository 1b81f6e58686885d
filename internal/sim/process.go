package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
)

// Process is one instance of a host program: a Scheduler over the shared store, with a clock and a connection of its own.
type Process struct {
	*punctual.Scheduler
	Name string

	world *World
	power *power
	born  time.Time

	mu        sync.Mutex // guards all below
	cut       int        // partitions that this process is in
	stopped   int        // freezes that it is in
	freezes   []span
	shutdowns []shutdown
	killedAt  time.Time
	gone      bool // it is not used any more: killed, or shut down
}

// span is a stretch of time; to is zero while it lasts.
type span struct{ from, to time.Time }

// shutdown is one call of Shutdown.
type shutdown struct {
	entered, returned, deadline time.Time
	err                         error
}

// Start makes a process and begins it.
func (w *World) Start(name string, opts ...punctual.Option) *Process {
	p := w.Make(name, opts...)
	p.Begin()
	return p
}

// Make makes a process whose Scheduler is not started yet.
func (w *World) Make(name string, opts ...punctual.Option) *Process {
	p := &Process{Name: name, world: w, power: newPower(), born: bubble.Now()}
	link := &link{world: w, process: p, store: w.store}
	if w.spoil != nil {
		link.store = w.spoil(p, w.store)
	}
	opts = append([]punctual.Option{
		punctual.WithClock(&processClock{bubble, p.power}), punctual.WithInstance(name), punctual.WithLease(Lease),
		punctual.WithStoreTimeout(5 * time.Second), punctual.WithLogger(w.logger), punctual.WithObserver(punctual.ObserverFunc(func(e punctual.Event) { w.observe(p, e) })),
		punctual.WithRetention(0, 0),
	}, opts...)
	s, err := punctual.New(link, &host{w, p}, opts...)
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
	if err := p.Scheduler.Start(context.Background()); err != nil {
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
	if !p.power.wait() {
		return errDead
	}
	ctx, cancel := within(context.Background(), limit)
	defer cancel()
	p.mu.Lock()
	p.gone = true
	n := len(p.shutdowns)
	entered := bubble.Now()
	p.shutdowns = append(p.shutdowns, shutdown{entered: entered, deadline: entered.Add(limit)})
	p.mu.Unlock()
	p.world.note("%s shuts down within %v", p.Name, limit)
	err := p.Shutdown(ctx)
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
