package memory

import (
	"context"
	"sync"
)

// watchers are the calls of Watch under way. Each has a channel with room for one hint, so that telling never waits and a burst of
// edits is one hint.
type watchers struct {
	mu    sync.Mutex // guards hints
	hints map[chan struct{}]struct{}
}

func (w *watchers) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for hint := range w.hints {
		select {
		case hint <- struct{}{}:
		default:
		}
	}
}

func (w *watchers) join() chan struct{} {
	hint := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hints == nil {
		w.hints = make(map[chan struct{}]struct{})
	}
	w.hints[hint] = struct{}{}
	return hint
}

func (w *watchers) quit(hint chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hints, hint)
}

// Watch implements punctual.Watcher. While one session alone is open, its own edits give no hints.
func (s *Store) Watch(ctx context.Context, notify func()) error {
	hint := s.watch.join()
	defer s.watch.quit(hint)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hint:
			notify()
		}
	}
}
