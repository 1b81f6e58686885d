package mysql_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
)

// proxy stands between a store and its server. When it is armed it lets the next COMMIT through, waits until the server has answered, and cuts
// the connection instead of passing the answer on.
type proxy struct {
	target string
	armed  atomic.Bool
	cuts   atomic.Int32
	all    sync.WaitGroup
}

func newProxy(t *testing.T, target string) (p *proxy, address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p = &proxy{target: target}
	p.all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		p.all.Wait() // the store is closed, and so are its connections
	})
	return p, l.Addr().String()
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	var swallow atomic.Bool
	p.all.Go(func() {
		defer client.Close()
		for buffer := make([]byte, 64<<10); ; {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			if swallow.Load() {
				p.cuts.Add(1)
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	for buffer := make([]byte, 64<<10); ; {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], []byte("COMMIT")) && p.armed.CompareAndSwap(true, false) {
			swallow.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// When the answer to a commit is lost the call fails and has taken effect. What was claimed is then found by asking what the session holds,
// and a result that is handed in again is known and changes nothing.
func TestLostAnswerOfACommitLosesAndDoublesNothing(t *testing.T) {
	dsn := database(t)
	cfg, err := driver.ParseDSN(dsn)
	require.NoError(t, err)
	if cfg.Net != "tcp" {
		t.Skip("the proxy is for TCP")
	}
	p, address := newProxy(t, cfg.Addr)
	cfg.Addr = address
	store, err := mysql.Open(t.Context(), cfg.FormatDSN())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	now := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	_, err = store.Beat(t.Context(), punctual.BeatRequest{Now: now, Session: "s", Lease: time.Minute})
	require.NoError(t, err)
	_, err = store.Edit(t.Context(), punctual.EditRequest{TaskID: "a", Now: now, Decide: func(punctual.View) (punctual.Change, error) {
		task := punctual.Task{ID: "a", Schedule: punctual.Every(time.Hour), Revision: 1}
		return punctual.Change{Task: &task, Status: &punctual.Status{NextRunAt: now}}, nil
	}})
	require.NoError(t, err)

	p.armed.Store(true)
	_, err = store.Claim(t.Context(), punctual.ClaimRequest{Now: now, Session: "s", Limit: 1, Decide: func(v punctual.View) (punctual.Change, error) {
		status := v.Record.Status
		run := punctual.Run{
			ID: "r", TaskID: "a", Trigger: punctual.TriggerSchedule, ScheduledAt: now, Count: 1, Attempt: 1, State: punctual.StateRunning, Session: "s",
			StartedAt: now, CreatedAt: now,
		}
		status.LastOccurrence, status.NextRunAt = now, now.Add(time.Hour)
		return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
	}})
	require.ErrorIs(t, err, punctual.ErrUnavailable)
	held, err := store.Held(t.Context(), "s")
	require.NoError(t, err)
	require.Len(t, held, 1, "the claim took effect")

	finish := punctual.FinishRequest{Now: now.Add(time.Second), Session: "s", Items: []punctual.Finish{{
		RunID: "r", TaskID: "a", Attempt: 1, State: punctual.StateSucceeded, StartedAt: now, FinishedAt: now.Add(time.Second),
	}}}
	p.armed.Store(true)
	_, err = store.Finish(t.Context(), finish)
	require.ErrorIs(t, err, punctual.ErrUnavailable)
	finish.Now = now.Add(time.Minute)
	reply, err := store.Finish(t.Context(), finish)
	require.NoError(t, err)
	assert.Equal(t, []punctual.Verdict{punctual.VerdictAlready}, reply.Verdicts)
	run, err := store.Run(t.Context(), "r")
	require.NoError(t, err)
	assert.Equal(t, now.Add(time.Second), run.FinishedAt)
	assert.Equal(t, int32(2), p.cuts.Load())
}
