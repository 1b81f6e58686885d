//go:build linux

package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proxy is the network between one worker and its server.
type proxy struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	mu     sync.Mutex // guards all below, and what pairs say of themselves
	pairs  map[*pair]struct{}
	state  network
	turned chan struct{} // closed and replaced when the state changes
	delay  time.Duration
	drop   []byte // the answer to the next commit of a transaction that has this in it is dropped, and the connection cut
	hide   []byte // what has this in it, and all that comes after it, gets no further until the network is open again
	drops  int
	done   bool
}

// network is how it fares.
type network string

const (
	open   network = "open"
	cut    network = "cut"    // connections are reset, and no new ones are made
	silent network = "silent" // nothing gets through, and nobody is told
)

// pair is one connection through the proxy.
type pair struct {
	client, server net.Conn
	marked         bool // the transaction has what the proxy waits for
	committing     bool // the client has sent a commit in plain text
}

// newProxy stands before the server of a data source name, and returns the name that leads through it. The test is skipped if it does not
// speak TCP.
func newProxy(t *testing.T, dsn string) (p *proxy, through string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p = &proxy{listener: l, pairs: make(map[*pair]struct{}), state: open, turned: make(chan struct{})}
	t.Cleanup(p.close)
	if strings.HasPrefix(dsn, "postgres://") {
		at, err := url.Parse(dsn)
		require.NoError(t, err)
		p.target, at.Host = at.Host, l.Addr().String()
		p.all.Go(p.accept)
		return p, at.String()
	}
	cfg, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	if cfg.Net != "tcp" {
		t.Skip("the proxy is for TCP")
	}
	p.target, cfg.Addr = cfg.Addr, l.Addr().String()
	p.all.Go(p.accept)
	return p, cfg.FormatDSN()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	c := &pair{client: client}
	p.mu.Lock()
	if p.done || p.state == cut {
		p.mu.Unlock()
		reset(client)
		return
	}
	p.pairs[c] = struct{}{}
	p.mu.Unlock()
	defer p.end(c)
	if !p.pass(c, nil) {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	p.mu.Lock()
	c.server = server
	over := p.done || p.state == cut
	p.mu.Unlock()
	if over {
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		p.pump(c, server, client, p.answered)
		_ = client.Close()
	})
	p.pump(c, client, server, p.asked)
	_ = server.Close()
	answers.Wait()
}

// pump passes on what comes from one side, if look lets it.
func (p *proxy) pump(c *pair, from io.Reader, to io.Writer, look func(c *pair, data []byte) bool) {
	for buffer := make([]byte, 64<<10); ; {
		n, err := from.Read(buffer)
		if n > 0 && (!look(c, buffer[:n]) || !p.pass(c, buffer[:n])) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			p.pass(c, nil) // the other side does not learn of the end before the network is open
			return
		}
	}
}

// pass waits until something may pass; false means never.
func (p *proxy) pass(c *pair, data []byte) bool {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	if delay > 0 && data != nil {
		time.Sleep(delay)
	}
	for {
		p.mu.Lock()
		_, there := p.pairs[c]
		state, turned := p.state, p.turned
		p.mu.Unlock()
		switch {
		case !there || state == cut:
			return false
		case state == open:
			return true
		}
		<-turned
	}
}

// asked looks at what a client sends.
func (p *proxy) asked(c *pair, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.marked = c.marked || p.drop != nil && bytes.Contains(data, p.drop)
	c.committing = c.committing || bytes.Contains(data, []byte("\x03COMMIT"))
	if p.hide != nil && bytes.Contains(data, p.hide) {
		p.hide = nil
		p.turnLocked(silent)
	}
	return true
}

// answered looks at what a server sends.
func (p *proxy) answered(c *pair, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.committing && !bytes.Contains(data, []byte("COMMIT\x00")) {
		return true
	}
	dropped := p.drop != nil && c.marked
	c.marked, c.committing = false, false
	if dropped {
		p.drop = nil
		p.drops++
		reset(c.client)
	}
	return !dropped
}

// turn changes the state of the network.
func (p *proxy) turn(state network) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turnLocked(state)
}

func (p *proxy) turnLocked(state network) {
	p.state = state
	if state == cut {
		p.cutLocked()
	}
	close(p.turned)
	p.turned = make(chan struct{})
}

func (p *proxy) cutLocked() {
	for c := range p.pairs {
		reset(c.client)
		if c.server != nil {
			_ = c.server.Close()
		}
	}
}

// slow makes each message take longer.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// dropAnswer drops the answer to the next commit of a transaction in which the client has sent the given text.
func (p *proxy) dropAnswer(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = []byte(text)
}

// dropped returns how many answers have been dropped.
func (p *proxy) dropped() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drops
}

// silentAt makes the network silent before the client's next message that has the given text in it gets through.
func (p *proxy) silentAt(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hide = []byte(text)
}

func (p *proxy) is(state network) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == state
}

func (p *proxy) end(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, c)
	_ = c.client.Close()
	if c.server != nil {
		_ = c.server.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.done = true
	p.turnLocked(cut)
	p.mu.Unlock()
	p.all.Wait()
}

// reset ends a connection so that the other side sees a reset.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// The proxy itself: what it lets through, and what it keeps.
func TestProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var echoes sync.WaitGroup
	echoes.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			echoes.Go(func() { // answers COMMIT as PostgreSQL does, and else with what it was sent
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		echoes.Wait()
	})
	p, through := newProxy(t, "postgres://"+l.Addr().String()+"/x")
	at, err := url.Parse(through)
	require.NoError(t, err)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", at.Host)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	say := func(conn net.Conn, text string) {
		_, err := conn.Write([]byte(text))
		require.NoError(t, err)
	}
	hear := func(conn net.Conn, wait time.Duration) (string, error) {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(wait)))
		buffer := make([]byte, 100)
		n, err := conn.Read(buffer)
		return string(buffer[:n]), err
	}
	a := dial()
	say(a, "hello")
	text, err := hear(a, patience)
	require.NoError(t, err)
	assert.Equal(t, "hello", text)

	p.turn(silent)
	say(a, "still there")
	_, err = hear(a, 50*time.Millisecond)
	require.True(t, timedOut(err), err)
	p.turn(open)
	text, err = hear(a, patience)
	require.NoError(t, err)
	assert.Equal(t, "still there", text)

	p.dropAnswer("mark")
	say(a, "COMMIT\x00")
	_, err = hear(a, patience)
	require.NoError(t, err, "another transaction")
	say(a, "mark")
	_, err = hear(a, patience)
	require.NoError(t, err)
	say(a, "COMMIT\x00")
	_, err = hear(a, patience)
	require.Error(t, err)
	assert.Equal(t, 1, p.dropped())

	b := dial()
	p.silentAt("hide")
	say(b, "hide this")
	_, err = hear(b, 50*time.Millisecond)
	require.Error(t, err)
	assert.True(t, p.is(silent))
	p.turn(cut)
	_, err = hear(b, patience)
	require.Error(t, err)
	require.False(t, timedOut(err), "it was reset")
}

func timedOut(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
