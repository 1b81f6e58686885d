package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/postgres"
)

// bouncer starts PgBouncer in transaction mode, with few servers so that clients change theirs all the time, and returns its data source.
func bouncer(t *testing.T) string {
	t.Helper()
	connect(t)
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		missing(t, "pgbouncer", err)
	}
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	require.NoError(t, free.Close())

	dir, err := os.MkdirTemp("", "pgbouncer") // not t.TempDir, whose parents another user may not enter
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	login := "user=" + u.User.Username()
	if password, ok := u.User.Password(); ok {
		login += " password=" + password
	}
	config := fmt.Sprintf("[databases]\n%s = host=%s port=%s %s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\n"+
		"auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nignore_startup_parameters = extra_float_digits\n",
		strings.TrimPrefix(u.Path, "/"), u.Hostname(), u.Port(), login, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o644))
	command := exec.Command(program, file)
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	if os.Geteuid() == 0 { // it refuses to be root
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
		require.NoError(t, err)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	require.NoError(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			require.NoError(t, conn.Close())
			break
		}
		require.True(t, time.Now().Before(deadline), "pgbouncer does not answer: %v", err)
	}
	u.Host = address
	return u.String()
}

// heard is a logger whose lines can be read.
type heard struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Write(b)
}

func (h *heard) said(text string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Count(h.buf.String(), text)
}

func (h *heard) logger() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }

// C21 of the cases from the field (river#205, river#238, pgbus#191).
func TestInstancesBehindATransactionPoolerRunEverythingOnce(t *testing.T) {
	pooled, schema := bouncer(t), newSchema(t)
	var log heard
	var mu sync.Mutex
	ran := map[string]int{}
	for i := range 2 {
		store, err := postgres.Open(t.Context(), pooled, postgres.WithSchema(schema), postgres.WithLogger(log.logger()), postgres.WithPollInterval(20*time.Millisecond))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		s, err := punctual.New(store, punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			ran[run.TaskID]++
			return punctual.Result{}, nil
		}), punctual.WithInstance(fmt.Sprint("instance-", i)), punctual.WithLogger(log.logger()))
		require.NoError(t, err)
		require.NoError(t, s.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	}
	host, err := postgres.Open(t.Context(), pooled, postgres.WithSchema(schema))
	require.NoError(t, err)
	defer host.Close()
	const tasks = 40
	var all sync.WaitGroup
	for i := range tasks {
		all.Go(func() { add(t, host, fmt.Sprint("task-", i)) }) // nobody tells the two of it
	}
	all.Wait()
	assert.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ran) == tasks
	}, 20*time.Second, 10*time.Millisecond, "well before they look by themselves")
	mu.Lock()
	defer mu.Unlock()
	for id, n := range ran {
		assert.Equal(t, 1, n, id)
	}
	assert.Equal(t, 2, log.said("a transaction pooler stands between"), "once by each")
	assert.Zero(t, log.said("prepared statement"), "no name of a statement clashes")
	assert.Zero(t, log.said("store fails"))
}

func TestProbeNoticesThatNotificationsDoNotArrive(t *testing.T) {
	pooled, schema := bouncer(t), newSchema(t)
	var log heard
	// The host is sure that there is no pooler, and it is wrong.
	store, err := postgres.Open(t.Context(), pooled+"&default_query_exec_mode=exec", postgres.WithSchema(schema), postgres.WithPooler(false),
		postgres.WithPollInterval(time.Millisecond), postgres.WithLogger(log.logger()))
	require.NoError(t, err)
	defer store.Close()
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		hints := 0
		require.NoError(t, store.Watch(ctx, func() {
			if hints++; hints == 3 {
				cancel()
			}
		}))
		cancel()
	}
	assert.Equal(t, 1, log.said("do not arrive"))
}

// claimLog is told how long claims took that started something.
type claimLog struct {
	mu     sync.Mutex
	claims []punctual.StoreCall
}

func (l *claimLog) Observe(punctual.Event) {}

func (l *claimLog) ObserveStore(c punctual.StoreCall) {
	if c.Method != "claim" || c.Started == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims = append(l.claims, c)
}

// beside counts the claims that began while another was under way.
func (l *claimLog) beside() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.claims {
		if slices.ContainsFunc(l.claims, func(other punctual.StoreCall) bool {
			return other.At.Before(c.At) && other.At.Add(other.Duration).After(c.At)
		}) {
			n++
		}
	}
	return n
}

func TestTwoClaimsAtATimeBehindATransactionPoolerStartEverythingOnce(t *testing.T) {
	pooled, schema := bouncer(t), newSchema(t)
	var log heard
	store, err := postgres.Open(t.Context(), pooled+"&pool_max_conns=6", postgres.WithSchema(schema), postgres.WithLogger(log.logger()))
	require.NoError(t, err)
	defer store.Close()
	require.True(t, store.ClaimsOverlap())
	const tasks = 2000
	var adding sync.WaitGroup
	for first := range 4 {
		adding.Go(func() {
			for i := first; i < tasks; i += 4 {
				at, id := time.Unix(1e9, 0).Add(time.Duration(i)*time.Millisecond), fmt.Sprintf("task-%04d", i)
				_, err := store.Edit(t.Context(), punctual.EditRequest{TaskID: id, Decide: func(punctual.View) (punctual.Change, error) {
					return punctual.Change{
						Task: &punctual.Task{ID: id, Schedule: punctual.Once(at), Revision: 1}, Status: &punctual.Status{Anchor: at, NextRunAt: at},
					}, nil
				}})
				assert.NoError(t, err)
			}
		})
	}
	adding.Wait()

	var mu sync.Mutex
	ran, all := map[string]int{}, make(chan struct{})
	claims := new(claimLog)
	s, err := punctual.New(store, punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		ran[run.TaskID]++
		if len(ran) == tasks && ran[run.TaskID] == 1 {
			close(all)
		}
		return punctual.Result{}, nil
	}), punctual.WithLogger(log.logger()), punctual.WithConcurrency(2*tasks), punctual.WithObserver(claims))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Error("not all have run")
	}
	require.NoError(t, s.Shutdown(context.Background()))
	mu.Lock()
	defer mu.Unlock()
	for id, n := range ran {
		assert.Equal(t, 1, n, id)
	}
	assert.Positive(t, claims.beside(), "claims that began beside another")
	assert.Zero(t, log.said("prepared statement"), "no name of a statement clashes")
	assert.Zero(t, log.said("store fails"))
}
