package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// notify sends a hint: the channel, and who sends it.
const notify = `SELECT pg_notify($1, $2)`

// probeWait is how long Watch waits for its own notification before it concludes that none will ever arrive.
const probeWait = 2 * time.Second

// hints sends notifications, one for all edits that were committed while the one before was under way.
type hints struct {
	wanted   atomic.Int64
	sending  chan struct{} // capacity 1: held by who sends
	sent     int64         // the newest wish that was fulfilled; who holds sending may touch it
	watchers atomic.Int64
	said     sync.Once
}

// channel is the name of the notifications' channel; unlike a schema's name it is never too long.
func (s *Store) channel() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.schema))
	return fmt.Sprintf("punctual_%016x", h.Sum64())
}

// tell gives the instances that listen a hint to look. It stands outside of transactions, since a commit with a notification waits for
// all others of its kind. A hint that fails is lost, and they look by themselves.
func (s *Store) tell(ctx context.Context) {
	wish := s.hints.wanted.Add(1)
	select {
	case s.hints.sending <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-s.hints.sending }()
	if s.hints.sent >= wish {
		return
	}
	newest := s.hints.wanted.Load()
	if _, err := s.pool.Exec(ctx, notify, s.channel(), s.id); err == nil {
		s.hints.sent = newest
	}
}

// Watch implements punctual.Watcher. Where notifications do not arrive it gives a hint once per poll interval instead, and says so.
func (s *Store) Watch(ctx context.Context, notify func()) error {
	s.hints.watchers.Add(1)
	defer s.hints.watchers.Add(-1)
	if s.pooled {
		s.sayPolling("a transaction pooler stands between this instance and the server")
		return s.pollFor(ctx, notify)
	}
	arrives, err := s.listen(ctx, notify)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fault(ctx, err)
	case !arrives:
		s.sayPolling("notifications of the server do not arrive")
		return s.pollFor(ctx, notify)
	}
	return nil
}

func (s *Store) sayPolling(why string) {
	s.hints.said.Do(func() {
		s.logger.Warn("no hints about edits of other instances, looking for them instead: "+why, slog.Duration("every", s.poll))
	})
}

func (s *Store) pollFor(ctx context.Context, notify func()) error {
	for {
		timer := s.clock.Timer(s.poll)
		select {
		case <-timer.C:
			notify()
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// errProbe ends the wait for the probe.
var errProbe = errors.New("postgres: the probe did not arrive")

// listen hands on notifications until its context ends or the connection fails. It answers false when it finds at its start that none
// arrive.
func (s *Store) listen(ctx context.Context, notify func()) (arrives bool, err error) {
	pooled, err := s.own.Acquire(ctx)
	if err != nil {
		return true, err
	}
	conn := pooled.Hijack() // nobody else should get a connection that listens
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{s.channel()}.Sanitize(), pgx.QueryExecModeExec); err != nil {
		return true, err
	}
	if arrives, err := s.probe(ctx, conn); !arrives || err != nil {
		return arrives, err
	}
	notify() // of what came before we listened
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return true, err
		}
		// What this store told itself is no news, unless several instances share it.
		if n.Payload != s.id || s.hints.watchers.Load() > 1 {
			notify()
		}
	}
}

// probe sends a notification through the pool and waits for it on the connection that listens.
func (s *Store) probe(ctx context.Context, conn *pgx.Conn) (arrives bool, err error) {
	const mark = "probe "
	if _, err := s.pool.Exec(ctx, notify, s.channel(), mark+s.id); err != nil {
		return true, err
	}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := s.clock.AfterFunc(probeWait, func() { cancel(errProbe) })
	defer timer.Stop()
	for {
		n, err := conn.WaitForNotification(waiting)
		switch {
		case err == nil && n.Payload == mark+s.id:
			return true, nil
		case err == nil:
			continue
		case errors.Is(context.Cause(waiting), errProbe) && ctx.Err() == nil:
			return false, nil
		}
		return true, err
	}
}
