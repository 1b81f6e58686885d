package web_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/web"
)

// stream is a viewer: a response writer that keeps what it was told.
type stream struct {
	mu     sync.Mutex
	header http.Header
	said   strings.Builder
	done   chan struct{}
	cancel context.CancelFunc
}

func (s *stream) Header() http.Header { return s.header }
func (s *stream) Flush()              {}
func (s *stream) WriteHeader(int)     {}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(b)
}

func (s *stream) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

func (s *stream) changes() int { return strings.Count(s.heard(), "event: change\n") }

func (s *stream) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func watch(w *world, target string) *stream {
	ctx, cancel := context.WithCancel(w.t.Context())
	s := &stream{header: http.Header{}, done: make(chan struct{}), cancel: cancel}
	r := request("GET", target, nil).WithContext(ctx)
	r.RemoteAddr = "127.0.0.1:1"
	go func() {
		defer close(s.done)
		w.handler.ServeHTTP(s, r)
	}()
	synctest.Wait()
	return s
}

// seen is the pulse that a page carries.
func seen(page string) string {
	_, rest, _ := strings.Cut(page, `data-seen="`)
	pulse, _, _ := strings.Cut(rest, `"`)
	return pulse
}

func TestViewerIsToldOfEachChangeAndOfNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.add(punctual.Task{ID: "a", Schedule: punctual.Daily("12:00", time.UTC)})
		w.add(punctual.Task{ID: "b", Schedule: punctual.Daily("12:00", time.UTC)})
		views := map[string]*stream{}
		for _, path := range []string{"overview", "tasks", "task?id=a", "task?id=b", "timeline"} {
			page := w.page(strings.TrimPrefix(path, "overview"))
			views[path] = watch(w, "live?seen="+seen(page)+"&view="+strings.NewReplacer("?", "%3F", "=", "%3D").Replace(path))
		}
		check := func(why string, want map[string]int) {
			t.Helper()
			time.Sleep(1100 * time.Millisecond)
			for path, s := range views {
				assert.Equal(t, want[path], s.changes(), "%s: %s", why, path)
			}
		}
		check("nothing happened", map[string]int{})
		require.NoError(t, w.s.Pause(t.Context(), "a"))
		check("a was paused", map[string]int{"tasks": 1, "task?id=a": 1})
		_, err := w.s.RunNow(t.Context(), "b")
		require.NoError(t, err)
		check("b ran", map[string]int{"overview": 1, "tasks": 2, "task?id=a": 2, "task?id=b": 1, "timeline": 1})
		check("nothing happened", map[string]int{"overview": 1, "tasks": 2, "task?id=a": 2, "task?id=b": 1, "timeline": 1})
		for _, s := range views {
			s.cancel()
			<-s.done
		}
	})
}

func TestChangeBetweenPageAndStreamIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.add(punctual.Task{ID: "a", Schedule: punctual.Daily("12:00", time.UTC)})
		page := w.page("task?id=a")
		require.NoError(t, w.s.Pause(t.Context(), "a"))
		time.Sleep(2 * time.Second)
		s := watch(w, "live?view=task%3Fid%3Da&seen="+seen(page))
		assert.Equal(t, 1, s.changes())
		s.cancel()
		<-s.done
	})
}

func TestStreamEndsWithItsRequestAndAfterItsLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first, second := watch(w, "live?view=overview"), watch(w, "live?view=overview")
		first.cancel()
		synctest.Wait()
		assert.True(t, first.ended())
		time.Sleep(4 * time.Minute)
		assert.False(t, second.ended())
		assert.Contains(t, second.heard(), "\n:\n", "proxies see that it lives")
		time.Sleep(2 * time.Minute)
		assert.True(t, second.ended(), "who watches is asked again who it is")
	})
}

func TestViewersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil, web.WithViewers(2))
		one, two := watch(w, "live?view=overview"), watch(w, "live?view=overview")
		assert.Equal(t, http.StatusServiceUnavailable, w.get("live?view=overview").Code)
		one.cancel()
		<-one.done
		three := watch(w, "live?view=overview")
		assert.Contains(t, three.heard(), "retry:", "it is served")
		two.cancel()
		three.cancel()
		<-two.done
		<-three.done
	})
}

// counting counts the queries that reach a store.
type counting struct {
	punctual.Store
	mu sync.Mutex
	n  int
}

func (c *counting) Runs(ctx context.Context, q punctual.RunQuery) ([]punctual.Run, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Store.Runs(ctx, q)
}

func (c *counting) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func TestManyViewersCostAsMuchAsOneAndNoneCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &counting{Store: memory.New()}
		s, err := punctual.New(store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil }))
		require.NoError(t, err)
		w := &world{t: t, s: s, handler: web.Handler(s)}
		cost := func(viewers int) int {
			var all []*stream
			for range viewers {
				all = append(all, watch(w, "live?view=overview"))
			}
			before := store.count()
			time.Sleep(30 * time.Second)
			spent := store.count() - before
			for _, v := range all {
				v.cancel()
				<-v.done
			}
			return spent
		}
		assert.Zero(t, cost(0))
		one := cost(1)
		assert.InDelta(t, 60, one, 4, "two queries a second")
		assert.InDelta(t, one, cost(50), 4)
	})
}

func TestStreamOutlivesTheTimeoutsOfItsServer(t *testing.T) {
	// Real sockets and real time, since the deadlines are the connection's.
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil }))
	require.NoError(t, err)
	require.NoError(t, s.Add(t.Context(), punctual.Task{ID: "a", Schedule: punctual.Daily("12:00", time.UTC)}))
	server := httptest.NewUnstartedServer(web.Handler(s))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/live?view=task%3Fid%3Da", nil)
	require.NoError(t, err)
	answer, err := server.Client().Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for n := 0; n < 2 && lines.Scan(); { // the second is said a second later, after both timeouts
		if lines.Text() == "event: change" {
			n++
			require.NoError(t, s.Pause(t.Context(), "a"))
		}
	}
	assert.NoError(t, lines.Err())
	assert.Equal(t, "event: change", lines.Text())
}
