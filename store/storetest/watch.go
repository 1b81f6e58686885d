package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
)

// patience is how long a hint may take before the suite gives up on it. It passes in real time, and only when a store fails.
var patience = 5 * time.Second

// watching runs Watch until the returned function is called, which waits for its end and returns what it answered.
func (f *fixture) watching(w punctual.Watcher) (hints <-chan struct{}, stop func() error) {
	ctx, cancel := context.WithCancel(f.ctx)
	notified := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- w.Watch(ctx, func() {
			select {
			case notified <- struct{}{}:
			default:
			}
		})
	}()
	return notified, sync.OnceValue(func() error {
		cancel()
		timer := clock.New().Timer(patience)
		defer timer.Stop()
		select {
		case err := <-ended:
			return err
		case <-timer.C:
			return fmt.Errorf("goes on for %v after its context has ended", patience)
		}
	})
}

var watchCases = []testCase{
	{
		name:    "tells of what others do",
		promise: "Watch calls notify soon after another instance has made something due or ordered a cancel",
		needs:   needWatcher,
		check: func(f *fixture) {
			editor := f.peer("session-b")
			editor.add("task")
			run := editor.put(editor.running("task"))[0]
			hints, stop := f.watching(f.watcher)
			defer func() { _ = stop() }()
			for _, edit := range []struct {
				name string
				make func()
			}{
				{"a new task that is due", func() { editor.add(editor.name("task"), owed(f.now)) }},
				{"a task that became due", func() { editor.update("task", func(s *punctual.Status) { s.NextRunAt = f.now }) }},
				{"a pending run", func() { editor.put(editor.pending("task", f.now)) }},
				{"an order to cancel", func() { editor.change("task", punctual.Change{Cancel: orders(run.ID)}) }},
			} {
				f.check(noticed(hints, edit.make), "no hint within %v after %s", patience, edit.name)
			}
			f.must(stop(), "Watch whose context has ended")
		},
	},
	{
		name:    "ends with its context",
		promise: "Watch returns nil when its context is done, and others that watch go on",
		needs:   needWatcher,
		check: func(f *fixture) {
			ctx, cancel := context.WithCancel(f.ctx)
			cancel()
			f.must(f.watcher.Watch(ctx, func() {}), "Watch with a cancelled context")
			editor := f.peer("session-b")
			_, stopFirst := f.watching(f.watcher)
			hints, stopSecond := f.watching(f.watcher)
			defer func() { _ = errors.Join(stopFirst(), stopSecond()) }()
			f.must(stopFirst(), "the first Watch")
			f.check(noticed(hints, func() { editor.add(editor.name("task"), owed(f.now)) }), "no hint for the second Watch after the first has ended")
			f.must(stopSecond(), "the second Watch")
		},
	},
}

// noticed makes an edit and reports whether a hint came. A hint may be lost, for one because Watch has not begun to listen yet, so the
// edit is repeated.
func noticed(hints <-chan struct{}, edit func()) bool {
	select {
	case <-hints: // of an edit before
	default:
	}
	real := clock.New()
	for deadline := real.Now().Add(patience); real.Now().Before(deadline); {
		edit()
		timer := real.Timer(patience / 50)
		select {
		case <-hints:
			timer.Stop()
			return true
		case <-timer.C:
		}
	}
	return false
}
