//go:build linux

package faults

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
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/audit"
)

// patience is how long a test waits for something that is bound to happen, on a machine that may be busy with other things.
const patience = 2 * time.Minute

// crew is a store, the workers that share it, and a record of all that they wrote down.
type crew struct {
	t     *testing.T
	dsn   string
	lease time.Duration
	store Store
	host  *punctual.Scheduler // registers tasks and is never started

	mu      sync.Mutex // guards all below
	books   audit.Books
	edits   map[string]time.Time // by task: the newest edit, by the store's clock
	members []*member
	events  []event
	news    chan struct{} // closed and replaced at each note
}

// event is a note and who wrote it.
type event struct {
	note
	by *member
}

// member is a worker as its parent sees it.
type member struct {
	orders
	crew  *crew
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   tail
	gone  chan struct{} // closed when the process has ended and all that it wrote has been read

	mu       sync.Mutex // guards all below
	killedAt time.Time
	leftAt   time.Time // when it was gone after a shutdown
	leaving  bool      // it was told to shut down
}

// newCrew makes a crew around a store that is empty.
func newCrew(t *testing.T, dsn string, lease time.Duration) *crew {
	alone(t)
	c := &crew{t: t, dsn: dsn, lease: lease, edits: make(map[string]time.Time), news: make(chan struct{})}
	store, err := Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	c.store = store
	c.host, err = punctual.New(&registrar{store, c}, nobody, punctual.WithStoreTimeout(patience))
	require.NoError(t, err)
	t.Cleanup(func() { // before the store is closed
		require.NoError(t, c.host.Close())
		for _, m := range c.all() {
			_ = m.cmd.Process.Kill() // those that are still there
			<-m.gone
			if t.Failed() && m.log.String() != "" {
				t.Logf("%s:\n%s", m.Name, m.log.String())
			}
		}
	})
	return c
}

// registrar keeps the books of what tasks owe.
type registrar struct {
	Store
	crew *crew
}

func (r *registrar) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	reply, note, err := r.crew.witness(ctx, r.Store, req)
	if err == nil {
		note()
	}
	return reply, err
}

// witness carries out an edit, and returns how to take it down in the books when it is committed.
func (c *crew) witness(ctx context.Context, through punctual.Editor, req punctual.EditRequest) (reply punctual.EditReply, note func(), err error) {
	var view punctual.View
	var change punctual.Change
	decide := req.Decide
	req.Decide = func(v punctual.View) (punctual.Change, error) {
		c, err := decide(v)
		view, change = v, c
		return c, err
	}
	reply, err = through.Edit(ctx, req)
	return reply, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.books.Note(view, change)
		c.edits[req.TaskID] = reply.Now
	}, err
}

// hosted is an editor of one transaction.
type hosted struct {
	punctual.Editor
	crew  *crew
	notes []func()
}

func (h *hosted) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	reply, note, err := h.crew.witness(ctx, h.Editor, req)
	h.notes = append(h.notes, note)
	return reply, err
}

// add registers a task whose runs do a chore.
func (c *crew) add(task punctual.Task, work chore) {
	c.t.Helper()
	payload, err := json.Marshal(work)
	assert.NoError(c.t, err)
	task.Payload = payload
	assert.NoError(c.t, c.host.Add(c.t.Context(), task))
}

// group is a number of tasks with one run each, at the same instant.
type group struct {
	id    string // of the first, without its number
	n     int
	after time.Duration // after the first group
	work  chore
}

// addTogether registers groups of tasks of which the first is due soon, at an instant that comes after the last commit, and returns that
// instant. There is a transaction for each few hundred tasks, since others wait for a SQLite file while one lasts. The first of them shows
// how long all will take; a machine that is too slow for it begins anew with more time.
func (c *crew) addTogether(soon time.Duration, groups ...group) time.Time {
	c.t.Helper()
	const part = 500
	var tasks []punctual.Task
	var after []time.Duration
	for _, g := range groups {
		payload, err := json.Marshal(g.work)
		require.NoError(c.t, err)
		for i := range g.n {
			tasks = append(tasks, punctual.Task{ID: fmt.Sprintf("%s%d", g.id, i), MisfireGrace: time.Hour, Payload: payload})
			after = append(after, g.after)
		}
	}
	for {
		begun := time.Now()
		due := begun.Add(soon)
		for i := range tasks {
			tasks[i].Schedule = punctual.Once(due.Add(after[i]))
		}
		first := min(part, len(tasks))
		err := c.addAll(tasks[:first], func() bool {
			return time.Since(begun) < soon*3/4
		}, func() bool {
			return first == len(tasks) || time.Since(begun)*time.Duration(len(tasks)/first) < soon/3
		})
		if errors.Is(err, errTooLate) || errors.Is(err, punctual.ErrInvalidTask) {
			soon = max(2*soon, 3*time.Since(begun)*time.Duration(len(tasks)/first))
			continue // the machine is busy with something else, too
		}
		require.NoError(c.t, err)
		always := func() bool { return true }
		for more := range slices.Chunk(tasks[first:], part) {
			require.NoError(c.t, c.addAll(more, always, always))
		}
		return due
	}
}

// addAll registers tasks in one transaction, which does not take place when there is no time for the next or in the end.
func (c *crew) addAll(tasks []punctual.Task, forOne, forAll func() bool) error {
	h := &hosted{crew: c}
	err := Together(c.t.Context(), c.store, bare(c.t, c.dsn), func(through punctual.Editor) error {
		h.Editor = through
		in := c.host.In(h)
		for i := range tasks {
			if err := in.Add(c.t.Context(), tasks[i]); err != nil {
				return err
			}
			if !forOne() {
				return errTooLate
			}
		}
		if !forAll() {
			return errTooLate
		}
		return nil
	})
	if err == nil {
		for _, note := range h.notes {
			note()
		}
	}
	return err
}

var errTooLate = errors.New("the commit would be too late")

// once is a task with one run, after some time.
func once(id string, in time.Duration) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Once(time.Now().Add(in)), MisfireGrace: time.Hour}
}

// start starts a worker and waits until it is ready. Its name follows from how many there are.
func (c *crew) start(o orders) *member {
	c.t.Helper()
	m := c.launch(o)
	c.await("the start of "+m.Name, func() bool { return c.count(func(e *event) bool { return e.by == m && e.What == isReady }) > 0 })
	return m
}

// launch starts a worker.
func (c *crew) launch(o orders) *member {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.Name == "" {
		o.Name = fmt.Sprintf("w%d", len(c.members)+1)
	}
	if o.DSN == "" {
		o.DSN = c.dsn
	}
	if o.Lease == 0 {
		o.Lease = c.lease
	}
	if o.MaxSleep == 0 {
		o.MaxSleep = c.lease // what another instance takes over is found soon, hints or not
	}
	text, err := json.Marshal(o)
	require.NoError(c.t, err)
	m := &member{orders: o, crew: c, cmd: exec.Command(os.Args[0]), gone: make(chan struct{})}
	m.cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	m.cmd.Stderr = &m.log
	m.stdin, err = m.cmd.StdinPipe()
	require.NoError(c.t, err)
	out, err := m.cmd.StdoutPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, m.cmd.Start())
	c.members = append(c.members, m)
	go m.read(out)
	return m
}

// read takes what the worker writes until it ends.
func (m *member) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var n note
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			continue // the last line of a process that was killed while it wrote
		}
		c := m.crew
		c.mu.Lock()
		c.events = append(c.events, event{n, m})
		close(c.news)
		c.news = make(chan struct{})
		c.mu.Unlock()
	}
	_ = m.cmd.Wait() // how it ended is judged by what it wrote
	m.mu.Lock()
	if m.killedAt.IsZero() && !m.leaving {
		m.killedAt = time.Now() // by itself
	}
	if m.leaving {
		m.leftAt = time.Now()
	}
	m.mu.Unlock()
	close(m.gone)
}

// await waits until something is so.
func (c *crew) await(what string, so func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		c.mu.Lock()
		news := c.news
		c.mu.Unlock()
		if so() {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %v in vain for %s", patience, what)
		}
		select {
		case <-news:
		case <-time.After(20 * time.Millisecond): // it may not be a note that makes it so
		}
	}
}

// awaitCount waits until so many events match. However long that takes, the number has to grow.
func (c *crew) awaitCount(what string, n int, match func(e *event) bool) {
	c.t.Helper()
	for got := c.count(match); got < n; {
		before := got
		c.await(fmt.Sprintf("%s, %d of %d so far", what, before, n), func() bool {
			got = c.count(match)
			return got > before
		})
	}
}

// count returns how many events match.
func (c *crew) count(match func(e *event) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for i := range c.events {
		if match(&c.events[i]) {
			n++
		}
	}
	return n
}

// find returns the events that match.
func (c *crew) find(match func(e *event) bool) []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []event
	for i := range c.events {
		if match(&c.events[i]) {
			found = append(found, c.events[i])
		}
	}
	return found
}

// of matches events of a kind about a task.
func of(kind what, task string) func(*event) bool {
	return func(e *event) bool { return e.What == kind && e.Task == task }
}

func (c *crew) all() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

// kill is kill -9. It returns when the process is gone.
func (m *member) kill() {
	m.mu.Lock()
	m.killedAt = time.Now()
	m.mu.Unlock()
	_ = m.cmd.Process.Kill() // it may have been quicker
	<-m.gone
}

// thaw is SIGCONT.
func (m *member) thaw() { require.NoError(m.crew.t, m.cmd.Process.Signal(syscall.SIGCONT)) }

// stopped reports whether the process has been stopped by a signal.
func (m *member) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "T")
}

// usable reports whether the worker is there and stays.
func (m *member) usable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.killedAt.IsZero() && !m.leaving
}

// diedAt is when the worker died without a shutdown; zero when it did not.
func (m *member) diedAt() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.killedAt
}

// endedAt is when the process ended, in whatever way; zero when it has not.
func (m *member) endedAt() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return earlier(m.killedAt, m.leftAt)
}

// send makes a request.
func (m *member) send(r request) {
	line, err := json.Marshal(r)
	require.NoError(m.crew.t, err)
	_, _ = m.stdin.Write(append(line, '\n')) // who is dead does not answer
}

// ask makes a request and waits for the answer.
func (m *member) ask(r request) note {
	m.crew.t.Helper()
	answers := func(e *event) bool { return e.by == m && e.What == isAnswer }
	n := m.crew.count(answers)
	m.send(r)
	m.crew.await("the answer of "+m.Name, func() bool { return m.crew.count(answers) > n })
	return m.crew.find(answers)[n].note
}

// shutdown shuts the worker down and returns what became of it.
func (m *member) shutdown(limit time.Duration) (took time.Duration, text string) {
	m.crew.t.Helper()
	m.mu.Lock()
	m.leaving = true
	m.mu.Unlock()
	m.send(request{Call: "shutdown", Limit: limit})
	select {
	case <-m.gone:
	case <-time.After(limit + patience):
		m.crew.t.Fatalf("%s has not ended %v after its shutdown", m.Name, limit+patience)
	}
	down := m.crew.find(func(e *event) bool { return e.by == m && e.What == isShutdown })
	require.Len(m.crew.t, down, 1, m.log.String())
	return down[0].time().Sub(time.UnixMicro(down[0].From)), down[0].Text
}

// settle lets everything come to rest after the harm is over, and shuts all workers down. What is then in the store is final.
func (c *crew) settle() (settled time.Time) {
	c.t.Helper()
	usable := 0
	for _, m := range c.all() {
		if m.usable() {
			usable++
		}
	}
	if usable == 0 {
		c.start(orders{Name: "last"})
	}
	settled = time.Now()
	c.await("everything to come to rest", func() bool { return c.atRest(settled) })
	for _, m := range c.all() {
		if m.usable() {
			_, text := m.shutdown(patience)
			require.Empty(c.t, text, "the shutdown of %s after everything had come to rest", m.Name)
		}
	}
	return settled
}

// atRest reports whether all that was due before an instant has its fact.
func (c *crew) atRest(since time.Time) bool {
	ctx := c.t.Context()
	runs, err := c.store.Runs(ctx, punctual.RunQuery{States: []punctual.State{punctual.StatePending, punctual.StateRunning}, Limit: punctual.MaxLimit})
	if err != nil {
		return false
	}
	for i := range runs {
		if runs[i].CreatedAt.Before(since) {
			return false
		}
	}
	for _, snap := range c.tasks() {
		if next := snap.NextRunAt; !next.IsZero() && !next.After(since) && snap.Fault == "" {
			return false
		}
	}
	return true
}

// tasks reads all tasks.
func (c *crew) tasks() map[string]punctual.Snapshot {
	c.t.Helper()
	all := make(map[string]punctual.Snapshot)
	for q := (punctual.TaskQuery{Limit: punctual.MaxLimit}); ; {
		page, err := c.store.Tasks(c.t.Context(), q)
		require.NoError(c.t, err)
		for _, snap := range page {
			all[snap.Task.ID] = snap
		}
		if len(page) < q.Limit {
			return all
		}
		q.After = page[len(page)-1].Task.ID
	}
}

// ledger reads the whole ledger, oldest first.
func (c *crew) ledger() []punctual.Run {
	c.t.Helper()
	var all []punctual.Run
	for q := (punctual.RunQuery{Limit: punctual.MaxLimit}); ; {
		page, err := c.store.Runs(c.t.Context(), q)
		require.NoError(c.t, err)
		all = append(all, page...)
		if len(page) < q.Limit {
			slices.Reverse(all)
			return all
		}
		q.Before = page[len(page)-1].ID
	}
}

// runsOf is what the ledger has of a task, oldest first.
func (c *crew) runsOf(task string) []punctual.Run {
	c.t.Helper()
	runs, err := c.store.Runs(c.t.Context(), punctual.RunQuery{TaskID: task, Limit: punctual.MaxLimit})
	require.NoError(c.t, err)
	slices.Reverse(runs)
	return runs
}

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	text  bytes.Buffer
	alarm bool // it told of a panic or of a data race
}

func (b *tail) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, word := range []string{"DATA RACE", "panic: ", "fatal error: "} {
		b.alarm = b.alarm || bytes.Contains(p, []byte(word))
	}
	const most = 16 << 10
	if b.text.Len() > most {
		b.text.Next(b.text.Len() - most/2)
	}
	return b.text.Write(p)
}

func (b *tail) alarming() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alarm
}

func (b *tail) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// nobody is the executor of schedulers that are never started.
var nobody = punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
