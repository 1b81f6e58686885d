package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// instanceFlag as the first argument makes this program one instance of several. Its arguments are the store and the place. On its output
// it says that it is ready, then how many runs it has started, and at last what it has used; its input tells it when to start and when to
// stop.
const instanceFlag = "-instance"

// Words between the instances and who started them.
const (
	wordReady = "ready"
	wordGo    = "go"
	wordStop  = "stop"
)

// beatEvery is how often an instance says how far it is.
const beatEvery = 20 * time.Millisecond

// instance is one of several instances.
func instance(ctx context.Context, key, place string, in io.Reader, out io.Writer) error {
	b, err := backendOf(key)
	if err != nil {
		return err
	}
	store, err := b.open(ctx, place)
	if err != nil {
		return err
	}
	defer store.Close()
	var started atomic.Int64
	scheduler, err := punctual.New(store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		started.Add(1)
		return punctual.Result{}, nil
	}), punctual.WithConcurrency(concurrency))
	if err != nil {
		return err
	}
	defer scheduler.Close()
	words := bufio.NewScanner(in)
	if _, err := fmt.Fprintln(out, wordReady); err != nil || !words.Scan() {
		return err
	}
	used, err := machine.CPUTime()
	if err != nil {
		return err
	}
	if err := scheduler.Start(ctx); err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		words.Scan() // the word to stop, or the end of who started us
		close(stop)
	}()
	for ticker := time.NewTicker(beatEvery); ; {
		select {
		case <-ticker.C:
			if _, err := fmt.Fprintln(out, started.Load()); err != nil {
				return err
			}
			continue
		case <-stop:
			ticker.Stop()
		}
		break
	}
	if err := scheduler.Shutdown(ctx); err != nil {
		return err
	}
	now, err := machine.CPUTime()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, (now - used).Seconds())
	return err
}

// member is an instance as who started it sees it.
type member struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	started atomic.Int64
	used    float64
	ended   chan error
}

func startMember(ctx context.Context, b backend, place string) (*member, error) {
	cmd, err := trial.Command(ctx)
	if err != nil {
		return nil, err
	}
	cmd.Args = []string{cmd.Path, instanceFlag, b.key, place}
	cmd.Env = append(cmd.Env, "PGAPPNAME="+place) // by which the server tells its sessions from others
	m := &member{cmd: cmd, ended: make(chan error, 1)}
	if m.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.out = bufio.NewScanner(out)
	return m, cmd.Start()
}

// follow reads how far the instance is until it ends.
func (m *member) follow() {
	var last string
	for m.out.Scan() {
		last = m.out.Text()
		var n int64
		if _, err := fmt.Sscan(last, &n); err == nil && !strings.Contains(last, ".") {
			m.started.Store(n)
		}
	}
	err := m.cmd.Wait()
	if err == nil {
		_, err = fmt.Sscan(last, &m.used)
	}
	m.ended <- err
}

// instances measures so many instances as processes of their own over one crowd of tasks that are all due.
func instances(ctx context.Context, b backend, place string, n int, s size) (_ values, err error) {
	if err := fill(ctx, b, place, hourly(s.Occurrences)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // kills what is left
	members := make([]*member, n)
	for i := range members {
		if members[i], err = startMember(ctx, b, place); err != nil {
			return nil, err
		}
	}
	for _, m := range members {
		if !m.out.Scan() || m.out.Text() != wordReady {
			return nil, errors.New("an instance did not become ready")
		}
		go m.follow()
	}
	waits, err := watchWaits(ctx, b, place)
	if err != nil {
		return nil, err
	}
	u := watch(ctx, b)
	if err := tellAll(members, wordGo); err != nil {
		return nil, err
	}
	for total := int64(0); total < int64(s.Occurrences); time.Sleep(beatEvery / 4) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d came to their start", total, s.Occurrences)
		}
		total = 0
		for _, m := range members {
			total += m.started.Load()
		}
	}
	v := values{}
	waits.into(v)
	if err := tellAll(members, wordStop); err != nil {
		return nil, err
	}
	used := 0.0
	for _, m := range members {
		select {
		case err := <-m.ended:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, errors.New("an instance did not end")
		}
		used += m.used
	}
	took := time.Since(u.began).Seconds()
	u.into(v)
	v["process"] = used / took
	v["rate"] = float64(s.Occurrences) / took
	if all, known := v.cores(true); known {
		v["cpu"] = all * took / float64(s.Occurrences)
	}
	store, err := b.open(ctx, place)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return v, succeeded(ctx, store)
}

func tellAll(members []*member, word string) error {
	for _, m := range members {
		if _, err := fmt.Fprintln(m.in, word); err != nil {
			return err
		}
	}
	return nil
}

// waits looks again and again at what the sessions of the instances wait for.
type waits struct {
	end  context.CancelFunc
	done chan struct{}
	seen map[string]int // by kind of wait; empty for none
	all  int
}

// watchWaits looks where the server tells it.
func watchWaits(ctx context.Context, b backend, place string) (*waits, error) {
	ctx, end := context.WithCancel(ctx)
	w := &waits{end: end, done: make(chan struct{}), seen: make(map[string]int)}
	if b.key != "postgres" {
		close(w.done)
		return w, nil
	}
	db, err := b.connect(place)
	if err != nil {
		end()
		return nil, err
	}
	go func() {
		defer close(w.done)
		defer db.Close()
		for ctx.Err() == nil {
			found, err := texts(db.QueryContext(ctx, `SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'`, place))
			if err != nil {
				return
			}
			for _, kind := range found {
				w.seen[kind]++
				w.all++
			}
			time.Sleep(beatEvery / 2)
		}
	}()
	return w, nil
}

// into writes which share of the sessions' work was a wait, by its kind.
func (w *waits) into(v values) {
	w.end()
	<-w.done
	if w.all == 0 {
		return
	}
	for kind, key := range map[string]string{"Lock": "lock", "LWLock": "inner", "IO": "io"} {
		v[key] = float64(w.seen[kind]) / float64(w.all)
	}
}
