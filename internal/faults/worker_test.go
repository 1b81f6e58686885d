//go:build linux

package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
)

// workerVariable holds the orders of a worker; without it this is the parent.
const workerVariable = "PUNCTUAL_FAULTS_WORKER"

func TestMain(m *testing.M) {
	if text := os.Getenv(workerVariable); text != "" {
		if err := work(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if !isSet("test.parallel") {
		_ = flag.Set("test.parallel", "4") // they wait for most of the time, whatever the number of processors
	}
	goleak.VerifyTestMain(m)
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// orders are what a worker is told when it starts.
type orders struct {
	Name         string
	DSN          string
	Lease        time.Duration
	Concurrency  int           `json:",omitzero"`
	StoreTimeout time.Duration `json:",omitzero"`
	MaxSleep     time.Duration `json:",omitzero"`
	Ahead        time.Duration `json:",omitzero"` // how far its wall clock is off
	Trap         trap          `json:",omitzero"`
}

// trap is a moment at which a worker does something to itself.
type trap struct {
	At   moment `json:",omitzero"`
	Task string `json:",omitzero"` // only for runs of tasks whose id begins so
	Runs int    `json:",omitzero"` // only when the call is about so many of them; zero means any
	Do   deed   `json:",omitzero"`
}

type moment string

const (
	prepared moment = "prepared" // a claim is made ahead, and waits for its instant
	claimed  moment = "claimed"  // the claim is committed, host code has not begun
	ended    moment = "ended"    // host code has ended, the result is not handed in
)

type deed string

const (
	die   deed = "die"   // kill -9
	stop  deed = "stop"  // SIGSTOP; somebody else has to send SIGCONT
	dwell deed = "dwell" // wait until a shutdown has begun, and a little longer
)

// note is a line that a worker writes. The pipe keeps it when the worker dies.
type note struct {
	At      int64  `json:"at"` // microseconds since 1970
	What    what   `json:"what"`
	Run     string `json:"run,omitempty"`
	Task    string `json:"task,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Session string `json:"session,omitempty"`
	Output  string `json:"output,omitempty"`
	Text    string `json:"text,omitempty"`
	From    int64  `json:"from,omitempty"` // since when, in microseconds
	Number  int    `json:"number,omitempty"`
	Health  *punctual.Health
}

type what string

const (
	isReady    what = "ready"
	isClaimed  what = "claimed"   // a claim started this run; From is the store's time
	isBegun    what = "begun"     // host code
	isTold     what = "told"      // host code was told to stop, because of Text
	isEnded    what = "ended"     // host code, with error Text
	isStalled  what = "stalled"   // the process did not get to run since From
	isFailed   what = "failed"    // a call to the store failed with Text
	isTooMany  what = "too many"  // a claim started more than it was to
	isStale    what = "stale"     // a result came too late
	isAlready  what = "already"   // a result was known
	isAnswer   what = "answer"    // to a request of the parent; Text is an error
	isShutdown what = "shut down" // Shutdown has returned, with error Text; From is when it was entered
)

func (n *note) time() time.Time { return time.UnixMicro(n.At) }

// request is a line that the parent writes to a worker.
type request struct {
	Call  string        // "add", "health", "jump", "shutdown"
	Task  string        `json:",omitzero"` // for add: the definition as JSON
	Limit time.Duration `json:",omitzero"` // for add and shutdown
	By    time.Duration `json:",omitzero"` // for jump
}

// worker is one instance, in a process of its own.
type worker struct {
	orders
	scheduler *punctual.Scheduler
	executed  atomic.Int64
	stopping  chan struct{} // closed when a shutdown begins
	clock     *wrongClock   // nil for the machine's

	mu   sync.Mutex // guards all below
	out  *json.Encoder
	trap *trap // nil when it has been sprung
}

// work is the main function of a worker. It goes on until it is shut down, or until its standard input ends as it does when the parent is gone.
func work(text string) error {
	w := &worker{out: json.NewEncoder(os.Stdout), stopping: make(chan struct{})}
	if err := json.Unmarshal([]byte(text), &w.orders); err != nil {
		return err
	}
	if w.Trap.At != "" {
		w.trap = &w.Trap
	}
	ctx := context.Background()
	store, err := Open(ctx, w.DSN)
	if err != nil {
		return err
	}
	defer store.Close()
	opts := []punctual.Option{
		punctual.WithInstance(w.Name), punctual.WithLease(w.Lease), punctual.WithObserver(w),
		punctual.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))),
	}
	if w.Concurrency > 0 {
		opts = append(opts, punctual.WithConcurrency(w.Concurrency))
	}
	if w.StoreTimeout > 0 {
		opts = append(opts, punctual.WithStoreTimeout(w.StoreTimeout))
	}
	if w.MaxSleep > 0 {
		opts = append(opts, punctual.WithMaxSleep(w.MaxSleep))
	}
	if w.Ahead != 0 {
		w.clock = newWrongClock(w.Ahead)
		opts = append(opts, punctual.WithClock(w.clock))
	}
	s, err := punctual.New(w.wrap(store), w, opts...)
	if err != nil {
		return err
	}
	w.scheduler = s
	if err := s.Start(ctx); err != nil {
		return err
	}
	go w.watchPulse()
	w.tell(note{What: isReady})
	return w.serve(ctx)
}

// serve does what the parent asks for.
func (w *worker) serve(ctx context.Context) error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	var ending sync.WaitGroup
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		switch r.Call {
		case "add":
			ending.Go(func() { w.add(ctx, r) })
		case "health":
			h := w.scheduler.Health()
			w.tell(note{What: isAnswer, Health: &h})
		case "jump":
			w.clock.jump(r.By)
			w.tell(note{What: isAnswer})
		case "shutdown":
			w.shutdown(ctx, r.Limit)
			ending.Wait()
			return nil
		default:
			return fmt.Errorf("worker: unknown request %q", r.Call)
		}
	}
	return w.scheduler.Close()
}

func (w *worker) add(ctx context.Context, r request) {
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	var task punctual.Task
	begun := time.Now()
	err := json.Unmarshal([]byte(r.Task), &task)
	if err == nil {
		err = w.scheduler.Add(ctx, task)
	}
	answer := note{What: isAnswer, Task: task.ID, From: begun.UnixMicro(), Text: errorText(err)}
	if errors.Is(err, punctual.ErrUnavailable) {
		answer.Output = "unavailable"
	}
	w.tell(answer)
}

func (w *worker) shutdown(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	entered := time.Now()
	close(w.stopping)
	err := w.scheduler.Shutdown(ctx)
	w.tell(note{What: isShutdown, From: entered.UnixMicro(), Text: errorText(err)})
}

func (w *worker) tell(n note) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n.At = time.Now().UnixMicro() // under the lock, so that the notes of a worker are in order
	_ = w.out.Encode(&n)          // without a parent there is nobody to tell
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// watchPulse notes when the process does not get to run.
func (w *worker) watchPulse() {
	const every, worthwhile = 20 * time.Millisecond, 80 * time.Millisecond
	for last := time.Now(); ; {
		time.Sleep(every)
		now := time.Now()
		if now.Sub(last) > worthwhile {
			w.tell(note{What: isStalled, From: last.UnixMicro()})
		}
		last = now
	}
}

// chore is the payload of a task: what host code does.
type chore struct {
	Takes time.Duration
	First time.Duration `json:",omitzero"` // what the first attempt takes; zero for no difference
	Deaf  bool          `json:",omitzero"` // goes on though it is told to stop
}

// Execute implements punctual.Executor.
func (w *worker) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	n := note{
		What: isBegun, Run: run.ID, Task: run.TaskID, Attempt: run.Attempt, Session: run.Session,
		Output: fmt.Sprintf("execution %d on %s", w.executed.Add(1), w.Name),
	}
	w.tell(n)
	told := n
	told.What = isTold
	defer context.AfterFunc(ctx, func() {
		told.Text = errorText(context.Cause(ctx))
		w.tell(told)
	})()
	var c chore
	err := json.Unmarshal(run.Payload, &c)
	if run.Attempt == 1 && c.First > 0 {
		c.Takes = c.First
	}
	if err == nil {
		timer := time.NewTimer(c.Takes)
		defer timer.Stop()
		obey := ctx.Done()
		if c.Deaf {
			obey = nil
		}
		select {
		case <-timer.C:
		case <-obey:
			err = context.Cause(ctx)
		}
	}
	n.What, n.Text = isEnded, errorText(err)
	w.tell(n)
	return punctual.Result{Output: n.Output}, err
}

// Observe implements punctual.Observer.
func (w *worker) Observe(e punctual.Event) {
	if e.Type == punctual.EventStale {
		w.tell(note{What: isStale, Run: e.Run.ID, Task: e.TaskID, Attempt: e.Run.Attempt})
	}
}

// ObserveStore implements punctual.StoreObserver.
func (w *worker) ObserveStore(c punctual.StoreCall) {
	if c.Err != nil {
		w.tell(note{What: isFailed, Task: c.Method, Text: c.Err.Error()})
	}
}

// spring does what the trap says, when these runs are what it waits for.
func (w *worker) spring(at moment, tasks []string) {
	w.mu.Lock()
	t := w.trap
	n := 0
	for _, id := range tasks {
		if t != nil && t.At == at && strings.HasPrefix(id, t.Task) {
			n++
		}
	}
	if n == 0 || n < t.Runs {
		w.mu.Unlock()
		return
	}
	w.trap = nil
	w.mu.Unlock()
	switch t.Do {
	case die:
		signalSelf(syscall.SIGKILL)
	case stop:
		signalSelf(syscall.SIGSTOP)
	case dwell:
		<-w.stopping
		time.Sleep(200 * time.Millisecond)
	}
}

// signalSelf returns when the signal has been delivered, if it returns at all.
func signalSelf(s syscall.Signal) {
	_ = syscall.Kill(os.Getpid(), s)
	time.Sleep(50 * time.Millisecond) // the signal arrives at some thread, which may not be this one
}

// wrap puts the worker before its store.
func (w *worker) wrap(store Store) punctual.Store {
	seen := &witnessed{store, w}
	watcher, watches := store.(punctual.Watcher)
	preparer, prepares := store.(punctual.Preparer)
	switch {
	case watches && prepares:
		return &struct {
			*witnessed
			punctual.Watcher
			punctual.Preparer
		}{seen, watcher, &foreseeing{preparer, w}}
	case watches:
		return &struct {
			*witnessed
			punctual.Watcher
		}{seen, watcher}
	}
	return seen
}

// foreseeing is a store whose claims made ahead the worker tells of.
type foreseeing struct {
	punctual.Preparer
	w *worker
}

func (s *foreseeing) Prepare(ctx context.Context, req punctual.PrepareRequest) (punctual.Prepared, error) {
	decide := req.Decide
	var tasks []string
	req.Decide = func(v punctual.View) (punctual.Change, error) {
		tasks = append(tasks, v.Record.Task.ID)
		return decide(v)
	}
	p, err := s.Preparer.Prepare(ctx, req)
	if p == nil {
		return nil, err
	}
	s.w.spring(prepared, tasks)
	return &waiting{p, s.w}, err
}

// waiting is a claim that waits for its instant.
type waiting struct {
	punctual.Prepared
	w *worker
}

func (p *waiting) Commit(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
	reply, err := p.Prepared.Commit(ctx, p.w.storeTime(now))
	p.w.claimed(&reply)
	return reply, err
}

// witnessed is a store whose calls the worker tells of.
type witnessed struct {
	Store
	w *worker
}

func (s *witnessed) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	req.Now = s.w.storeTime(req.Now)
	reply, err := s.Store.Claim(ctx, req)
	if len(reply.Started) > req.Limit {
		s.w.tell(note{What: isTooMany, Number: len(reply.Started)})
	}
	s.w.claimed(&reply)
	return reply, err
}

// claimed tells of what a claim has started.
func (w *worker) claimed(reply *punctual.ClaimReply) {
	tasks := make([]string, len(reply.Started))
	for i := range reply.Started {
		run := &reply.Started[i]
		tasks[i] = run.TaskID
		w.tell(note{What: isClaimed, Run: run.ID, Task: run.TaskID, Attempt: run.Attempt, Session: run.Session, From: reply.Now.UnixMicro()})
	}
	w.spring(claimed, tasks)
}

func (s *witnessed) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	req.Now = s.w.storeTime(req.Now)
	tasks := make([]string, 0, len(req.Items))
	for i := range req.Items {
		if !req.Items[i].Released {
			tasks = append(tasks, req.Items[i].TaskID)
		}
	}
	s.w.spring(ended, tasks)
	reply, err := s.Store.Finish(ctx, req)
	for i, verdict := range reply.Verdicts {
		if verdict == punctual.VerdictAlready {
			s.w.tell(note{What: isAlready, Run: req.Items[i].RunID, Task: req.Items[i].TaskID, Attempt: req.Items[i].Attempt})
		}
	}
	return reply, err
}

func (s *witnessed) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	req.Now = s.w.storeTime(req.Now)
	return s.Store.Edit(ctx, req)
}

func (s *witnessed) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	req.Now = s.w.storeTime(req.Now)
	return s.Store.Beat(ctx, req)
}

func (s *witnessed) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	req.Now = s.w.storeTime(req.Now)
	return s.Store.Reclaim(ctx, req)
}

// storeTime is what the store is told of the time: nothing, as in production, also when a clock is injected that is only there to be wrong.
func (w *worker) storeTime(time.Time) time.Time { return time.Time{} }
