package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/foresight"
)

// Lease is the lease of each process. A process trusts it for Lease - margin after its last good beat, and beats every third of it.
const (
	Lease  = 15 * time.Second
	margin = Lease * 2 / 15
)

// World is a store, the processes that share it, and a record of all that happened. It lives in a synctest bubble.
type World struct {
	Seed  uint64
	Begin time.Time

	rest       time.Duration // how long the world is left alone at its end
	settled    time.Time     // when everything had come to rest and the last shutdowns began
	store      *witness
	front      shared  // what processes are given of it
	spoil      variant // what links lead through; nil for nothing
	logger     *slog.Logger
	embedded   bool           // the clock of the process decides, as that of the machine does when store and process share it
	background sync.WaitGroup // calls of hosts, calls on their way to the store, watchers of contexts

	mu         sync.Mutex // guards all below; never held while waiting
	weather    weather
	processes  []*Process
	operations []*Operation
	executions []*Execution
	events     map[*Process][]punctual.Event
	calls      map[callKey]uint64
	writing    map[string]time.Time // by session: when the last of its claims that have locked something commits
	overlaps   int                  // claims that locked something before another of their session had committed
	plan       func(e *Execution) Work
	problems   []string
	log        bytes.Buffer
}

// callKey counts calls that are made at the same instant.
type callKey struct {
	process string
	name    string
	at      time.Duration
}

// variant puts something before the store as one process sees it.
type variant func(p *Process, store shared) shared

// NewWorld makes a world around an empty store. All that is random in it follows from the seed. With spoil the library is a broken one; nil
// for as it is.
func NewWorld(seed uint64, store shared, spoil variant) *World {
	w := &World{
		Seed: seed, Begin: bubble.Now(), rest: settlement, events: make(map[*Process][]punctual.Event),
		calls: make(map[callKey]uint64), writing: make(map[string]time.Time), plan: func(*Execution) Work { return Work{} },
	}
	w.store = newWitness(store, w.note)
	w.front, w.spoil = w.store, spoil
	w.logger = slog.New(slog.NewTextHandler(&diary{w}, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{} // the time of a process may be wrong, and the diary has its own
			}
			return a
		},
	}))
	return w
}

// Foresee has the store make claims ahead, which takes it so long for each task. With overlap its claims take their time, too, and a process makes two
// at a time.
func (w *World) Foresee(each time.Duration, overlap bool) {
	ahead := foresight.Over(w.store)
	ahead.Clock, ahead.Each = bubble, each
	ahead.Called = func(call string) error {
		w.note("store: %s", call)
		return nil
	}
	if overlap {
		ahead.Write = w.write
	}
	w.front = ahead
}

// write decides how long it is until a claim commits what it has locked, and whether it fails then.
func (w *World) write(session, task string) (time.Duration, error) {
	now := bubble.Now()
	d := w.dice("write", task, now.Sub(w.Begin)) // a claim's first task is no other's at that time
	takes := d.between(0, 50*time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Before(w.writing[session]) {
		w.overlaps++
	}
	if until := now.Add(takes); until.After(w.writing[session]) {
		w.writing[session] = until
	}
	if d.chance(0.05) {
		w.noteLocked("store: a claim of session %s fails", session)
		return takes, fmt.Errorf("%w: the server has gone", punctual.ErrUnavailable)
	}
	return takes, nil
}

// diary takes the log records of all processes.
type diary struct{ w *World }

func (d *diary) Write(b []byte) (int, error) {
	d.w.note("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// note writes a line into the diary of the world.
func (w *World) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteLocked(format, args...)
}

func (w *World) noteLocked(format string, args ...any) {
	fmt.Fprintf(&w.log, "%-15s ", w.clockTime(bubble.Now()))
	fmt.Fprintf(&w.log, format, args...)
	w.log.WriteByte('\n')
}

// Diary is all that happened, a line each, with the time since the world began.
func (w *World) Diary() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *World) failf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	const most = 20
	if len(w.problems) < most {
		w.problems = append(w.problems, fmt.Sprintf(format, args...))
	}
}

func (w *World) observe(p *Process, e punctual.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[p] = append(w.events[p], e)
}

// Weather sets how calls to the store fare from now on.
func (w *World) Weather(weather weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = weather
	w.noteLocked("weather %+v", weather)
}

// Plan sets what host code does from now on.
func (w *World) Plan(plan func(e *Execution) Work) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan = plan
}

func (w *World) work(e *Execution) Work {
	w.mu.Lock()
	plan := w.plan
	w.mu.Unlock()
	return plan(e)
}

// dice yields numbers that follow from the seed and what they are for, so that they are the same in each replay, whichever goroutine
// comes first.
type dice struct{ state uint64 }

func (w *World) dice(parts ...any) *dice {
	h := fnv.New64a()
	_ = binary.Write(h, binary.LittleEndian, w.Seed)
	for _, p := range parts {
		fmt.Fprintf(h, "%v\x00", p)
	}
	return &dice{h.Sum64()}
}

// next is splitmix64.
func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (d *dice) chance(p float64) bool { return p > 0 && float64(d.next()>>11)/(1<<53) < p }
func (d *dice) below(n int) int       { return int(d.next() % uint64(n)) }

func (d *dice) between(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(d.next()%uint64(b-a))
}

// fate decides what becomes of a call.
func (w *World) fate(p *Process, name string) fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := callKey{p.Name, name, bubble.Since(w.Begin)}
	w.calls[key]++
	n := w.calls[key]
	if n == 1 && len(w.calls) > 10_000 {
		clear(w.calls)
	}
	d, sky := w.dice(key.process, name, key.at, n), w.weather
	f := fate{there: d.between(0, sky.latency), back: d.between(0, sky.latency)}
	if d.chance(sky.slow) {
		f.there, f.back = d.between(0, sky.slowFor), d.between(0, sky.slowFor)
	}
	switch {
	case d.chance(sky.refused):
		f.refused = true
	case d.chance(sky.reset):
		f.reset = true
	case d.chance(sky.vanish):
		f.vanish = true
	case d.chance(sky.mute):
		f.mute = true
	}
	return f
}

// clockTime writes an instant as time since the world began.
func (w *World) clockTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return "+" + t.Sub(w.Begin).String()
}

// End lets everything come to rest: all faults are over, frozen processes go on, and if none is left one is started. After the time that
// it takes at most to notice, take over and catch up, all processes are shut down. What is then in the store is final.
func (w *World) End() {
	if !w.settled.IsZero() {
		return
	}
	w.Weather(weather{latency: time.Millisecond})
	w.Plan(func(*Execution) Work { return Work{Takes: 10 * time.Millisecond} })
	usable := false
	for _, p := range w.all() {
		for p.cutOff() {
			p.Heal()
		}
		for p.frozen() {
			p.Thaw()
		}
		usable = usable || p.usable() && !p.restrained()
	}
	if !usable {
		w.Start("last")
	}
	bubble.Sleep(w.rest)
	w.settled = bubble.Now()
	for _, p := range w.all() {
		if p.usable() {
			if err := p.Stop(time.Minute); err != nil {
				w.failf("P5: the shutdown of %v after everything had come to rest: %v", p, err)
			}
		}
	}
	for _, p := range w.all() {
		p.power.bury()
		_ = p.Close()
	}
	w.background.Wait()
}

// settlement is how long the world is left alone at its end: some leases, so that the runs of the dead are taken over and repeated, the
// longest wait for a retry, and the longest sleep of an idle engine.
const settlement = 4*Lease + 40*time.Second

func (w *World) all() []*Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*Process(nil), w.processes...)
}
