package punctualtest_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/punctualtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inEachStyle runs a test with each kind of clock that a Harness can have.
func inEachStyle(t *testing.T, test func(t *testing.T, c punctualtest.Config)) {
	t.Run("own clock", func(t *testing.T) { test(t, punctualtest.Config{}) })
	t.Run("mock", func(t *testing.T) { test(t, punctualtest.Config{Mock: clock.NewMock()}) })
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, punctualtest.Config{}) })
	})
	t.Run("mock in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, punctualtest.Config{Mock: clock.NewMock()}) })
	})
}

func every(id string, d time.Duration) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Every(d)}
}

func add(t testing.TB, h *punctualtest.Harness, tasks ...punctual.Task) {
	t.Helper()
	for _, task := range tasks {
		if err := h.Add(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	h.Settle()
}

// spy is a test whose failures are looked at.
type spy struct {
	testing.TB
	ctx    context.Context
	end    context.CancelFunc
	mu     sync.Mutex
	errors []string
	clean  []func()
}

// spyOn runs f as a test of its own, to the end of its cleanup, and returns how it failed.
func spyOn(f func(t testing.TB)) []string {
	s := &spy{}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.protected(func() { f(s) })
	s.end()
	for len(s.clean) > 0 {
		last := s.clean[len(s.clean)-1]
		s.clean = s.clean[:len(s.clean)-1]
		s.protected(last)
	}
	return s.errors
}

// protected runs f in a goroutine that a fatal failure may end, as the testing package does.
func (s *spy) protected(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (s *spy) Helper()                  {}
func (s *spy) Context() context.Context { return s.ctx }
func (s *spy) Output() io.Writer        { return io.Discard }
func (s *spy) Cleanup(f func())         { s.clean = append(s.clean, f) }
func (s *spy) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors = append(s.errors, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (s *spy) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

func (s *spy) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }
