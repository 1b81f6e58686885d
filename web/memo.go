package web

import (
	"context"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

// memo keeps what a load found for all who ask for the same key soon after, and lets only one of them load at a time. A value is kept for ten times as long
// as its load took, so that whatever a load costs, loads take at most a tenth of the time. No goroutine is started: whoever asks first, loads.
type memo[V any] struct {
	clock clock.Clock
	least time.Duration // how long a value is kept at least

	mu      sync.Mutex
	entries map[string]*memoEntry[V]
}

type memoEntry[V any] struct {
	value   V
	expires time.Time
	loading chan struct{} // closed when the load has ended; nil when none is under way
}

// maxEntries is how many keys a memo remembers before it forgets those that have expired.
const maxEntries = 64

func newMemo[V any](k clock.Clock, least time.Duration) *memo[V] {
	return &memo[V]{clock: k, least: least, entries: make(map[string]*memoEntry[V])}
}

// get returns the value of the key. load gets the value that was kept last, or the zero value. A load that fails keeps nothing, and those who waited for it
// load themselves, since its context may have been the reason.
func (m *memo[V]) get(ctx context.Context, key string, load func(context.Context, V) (V, error)) (V, error) {
	for {
		m.mu.Lock()
		now := m.clock.Now()
		e := m.entries[key]
		if e == nil {
			m.forgetExpired(now)
			e = &memoEntry[V]{}
			m.entries[key] = e
		}
		if e.loading == nil {
			if now.Before(e.expires) {
				defer m.mu.Unlock()
				return e.value, nil
			}
			e.loading = make(chan struct{})
			last := e.value
			m.mu.Unlock()
			return m.load(ctx, e, last, load)
		}
		loading := e.loading
		m.mu.Unlock()
		select {
		case <-loading:
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
	}
}

func (m *memo[V]) load(ctx context.Context, e *memoEntry[V], last V, load func(context.Context, V) (V, error)) (value V, err error) {
	began := m.clock.Now()
	failed := true // also when load panics: those who wait must not wait for ever
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !failed {
			now := m.clock.Now()
			e.value, e.expires = value, now.Add(max(m.least, 10*now.Sub(began)))
		}
		close(e.loading)
		e.loading = nil
	}()
	value, err = load(ctx, last)
	failed = err != nil
	return value, err
}

// expire makes the next who ask load anew.
func (m *memo[V]) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		e.expires = time.Time{}
	}
}

func (m *memo[V]) forgetExpired(now time.Time) {
	if len(m.entries) < maxEntries {
		return
	}
	for key, e := range m.entries {
		if e.loading == nil && !now.Before(e.expires) {
			delete(m.entries, key)
		}
	}
}
