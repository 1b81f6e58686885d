package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// plan is what happens: instances are started, work for a while, one is killed, and the others go on.
type plan struct {
	DSN       string
	Instances int
	Tasks     int
	Every     time.Duration
	Lease     time.Duration
	After     time.Duration // how long it goes on after the takeover
	Out       io.Writer     // what happened, in words
}

// longID is the task whose run is under way when its instance is killed.
const longID = "long"

// process is a member as its parent sees it.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan error
}

// run carries the plan out and checks the ledger afterwards.
func (p *plan) run(ctx context.Context) (found findings, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute+p.After)
	defer cancel()
	st, err := open(ctx, p.DSN)
	if err != nil {
		return found, err
	}
	defer st.Close()
	if err := p.register(ctx, st); err != nil {
		return found, err
	}
	p.tell("%d tasks run every %v, and one takes %v", p.Tasks, p.Every, 2*p.Lease)
	notes := make(chan note, 1<<16)
	members := make(map[string]*process)
	defer func() {
		for _, m := range members {
			_ = m.cmd.Process.Kill() // those that are still there
			<-m.ended
		}
	}()
	for i := range p.Instances {
		m, err := p.start(fmt.Sprintf("instance-%d", i+1), notes)
		if err != nil {
			return found, err
		}
		members[m.name] = m
	}
	seen := journal{notes: notes}
	for ready := 0; ready < p.Instances; ready++ {
		if _, err := seen.await(ctx, func(n note) bool { return n.Event == "ready" }); err != nil {
			return found, err
		}
	}
	p.tell("%d instances share one store, with a lease of %v", p.Instances, p.Lease)
	first, err := seen.find(ctx, func(n note) bool { return n.TaskID == longID && n.Event == "begin" })
	if err != nil {
		return found, err
	}
	if _, err := seen.await(ctx, func(n note) bool { return n.At.Sub(first.At) > p.Lease/2 }); err != nil {
		return found, err
	}
	victim := members[first.Member]
	killed := time.Now()
	if err := victim.cmd.Process.Kill(); err != nil {
		return found, err
	}
	<-victim.ended
	delete(members, victim.name)
	p.tell("%s is killed while it works on %s (attempt %d)", victim.name, first.TaskID, first.Attempt)
	second, err := seen.find(ctx, func(n note) bool { return n.RunID == first.RunID && n.Event == "begin" && n.Attempt > first.Attempt })
	if err != nil {
		return found, err
	}
	found.By, found.Attempt, found.After = second.Member, second.Attempt, second.At.Sub(killed)
	p.tell("%s takes over %v later (attempt %d)", found.By, found.After.Round(time.Millisecond), found.Attempt)
	if _, err := seen.find(ctx, func(n note) bool { return n.RunID == first.RunID && n.Event == "end" }); err != nil {
		return found, err
	}
	if _, err := seen.await(ctx, func(n note) bool { return n.At.Sub(second.At) > p.After }); err != nil {
		return found, err
	}
	for name, m := range members {
		if err := errors.Join(m.stdin.Close(), <-m.ended); err != nil {
			return found, fmt.Errorf("%s: %w", name, err)
		}
		delete(members, name)
	}
	p.tell("the others have stopped")
	err = check(ctx, st, &found, seen.drain())
	return found, err
}

func (p *plan) tell(format string, args ...any) { fmt.Fprintf(p.Out, format+"\n", args...) }

// start starts a member and passes on what it prints.
func (p *plan) start(name string, notes chan<- note) (*process, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberVariable+"="+name, dsnVariable+"="+p.DSN, leaseVariable+"="+p.Lease.String())
	cmd.Stderr = io.Discard
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m := &process{name, cmd, stdin, make(chan error, 1)}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n note
			if json.Unmarshal(lines.Bytes(), &n) == nil { // the last line may be a part of one
				notes <- n
			}
		}
		m.ended <- cmd.Wait()
		close(m.ended)
	}()
	return m, nil
}

// register makes the tasks, through a Scheduler that runs nothing itself.
func (p *plan) register(ctx context.Context, st punctual.Store) error {
	s, err := punctual.New(st, punctual.ExecutorFunc(nil), punctual.WithInstance("registrar"))
	if err != nil {
		return err
	}
	tasks := []punctual.Task{{ID: longID, Schedule: punctual.Every(time.Hour), Payload: payload(2 * p.Lease)}}
	for i := range p.Tasks {
		tasks = append(tasks, punctual.Task{ID: fmt.Sprintf("task-%02d", i), Schedule: punctual.Every(p.Every), Payload: payload(p.Every / 10)})
	}
	for _, task := range tasks {
		if err := s.Remove(ctx, task.ID); err != nil && !errors.Is(err, punctual.ErrTaskNotFound) {
			return err // of an earlier demonstration
		}
		if err := s.Add(ctx, task); err != nil {
			return err
		}
	}
	return s.Close()
}

func payload(takes time.Duration) json.RawMessage { return fmt.Appendf(nil, "%d", takes) }

// journal is what the members have printed.
type journal struct {
	notes <-chan note
	all   []note
}

// await returns the next note of a kind.
func (j *journal) await(ctx context.Context, is func(note) bool) (note, error) {
	for {
		select {
		case n := <-j.notes:
			j.all = append(j.all, n)
			if is(n) {
				return n, nil
			}
		case <-ctx.Done():
			return note{}, fmt.Errorf("nothing of the kind happened: %w", context.Cause(ctx))
		}
	}
}

// find returns the first note of a kind, which may have been read already.
func (j *journal) find(ctx context.Context, is func(note) bool) (note, error) {
	if i := slices.IndexFunc(j.all, is); i >= 0 {
		return j.all[i], nil
	}
	return j.await(ctx, is)
}

// drain returns all notes, after the members have ended.
func (j *journal) drain() []note {
	for {
		select {
		case n := <-j.notes:
			j.all = append(j.all, n)
		default:
			return j.all
		}
	}
}
