package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

// The tests of this file are about real processes: the server is built and started, killed and started again, and calls an endpoint in
// yet another process. Nothing here can be on fake time, so answers are waited for, with a bound.

// mockLLM is an OpenAI-compatible endpoint that nobody here wrote; by default it answers with the question.
const mockLLM = "@dwmkerr/mock-llm@0.1.29"

const patience = 30 * time.Second

// program is a process with its output.
type program struct {
	cmd  *exec.Cmd
	out  *syncBuffer
	done chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func launch(t testing.TB, dir string, env []string, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(name, args...), out: &syncBuffer{}, done: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	require.NoError(t, p.cmd.Start())
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		select {
		case <-p.done:
		case <-time.After(patience):
		}
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(name), p.out)
		}
	})
	return p
}

// end waits for the end of the process and returns its exit code.
func (p *program) end(t testing.TB) int {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("the process does not end")
		return -1
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// serverDir holds the built program; removeServer deletes it at the end of all tests.
var serverDir string

func removeServer() {
	if serverDir != "" {
		_ = os.RemoveAll(serverDir)
	}
}

// buildServer builds the program once for all tests.
var buildServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "llmcron")
	if err != nil {
		return "", err
	}
	serverDir = dir
	path := filepath.Join(dir, "llmcron")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// server is the reference server as a process.
type server struct {
	*program
	url, dir string
}

func startServer(t testing.TB, dir string, args ...string) *server {
	t.Helper()
	path, err := buildServer()
	require.NoError(t, err)
	addr := freePort(t)
	s := &server{url: "http://" + addr, dir: dir}
	s.program = launch(t, dir, nil, path, append([]string{"-addr", addr, "-db", filepath.Join(dir, "e2e.db"), "-lease", "2s"}, args...)...)
	waitFor(t, "the server", func() bool { return answers(s.url + "/healthz") })
	return s
}

func answers(url string) bool {
	r, err := client.Get(url)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return r.Body.Close() == nil && r.StatusCode < 500
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func waitFor(t testing.TB, what string, ready func() bool) {
	t.Helper()
	require.Eventually(t, ready, patience, 5*time.Millisecond, "waited in vain for %s", what)
}

func (s *server) create(t testing.TB, f map[string]any) service.Task {
	t.Helper()
	r, err := client.Post(s.url+"/api/tasks", "application/json", strings.NewReader(body(f)))
	require.NoError(t, err)
	defer r.Body.Close()
	require.Equal(t, http.StatusCreated, r.StatusCode)
	var task service.Task
	require.NoError(t, json.NewDecoder(r.Body).Decode(&task))
	return task
}

func (s *server) log(t testing.TB, id string) []service.LogEntry {
	t.Helper()
	r, err := client.Get(s.url + "/api/tasks/" + id + "/logs")
	require.NoError(t, err)
	defer r.Body.Close()
	var page logPage
	require.NoError(t, json.NewDecoder(r.Body).Decode(&page))
	return page.Logs
}

// await waits until the newest entry of the task's log has ended.
func (s *server) await(t testing.TB, id string) service.LogEntry {
	t.Helper()
	var entry service.LogEntry
	waitFor(t, "the run of "+id, func() bool {
		entries := s.log(t, id)
		if len(entries) == 0 || entries[0].Status == "running" {
			return false
		}
		entry = entries[0]
		return true
	})
	return entry
}

// startMockLLM installs and starts the endpoint, or skips the test where that is not possible.
func startMockLLM(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	npm, err := exec.LookPath("npm")
	if err == nil {
		install := exec.Command(npm, "install", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", dir, mockLLM)
		var out []byte
		if out, err = install.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") == "1" {
			t.Fatalf("%s cannot be installed: %v", mockLLM, err)
		}
		t.Skipf("needs npm and its registry to install %s: %v", mockLLM, err)
	}
	addr := freePort(t)
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	launch(t, dir, []string{"HOST=" + host, "PORT=" + port}, filepath.Join(dir, "node_modules", ".bin", "mock-llm"))
	waitFor(t, mockLLM, func() bool { return answers("http://" + addr + "/v1/models") })
	return "http://" + addr + "/v1"
}

func call(endpoint string, change map[string]any) map[string]any {
	f := fields(map[string]any{"api_endpoint": endpoint, "interval_minutes": 60})
	for k, v := range change {
		f[k] = v
	}
	return f
}

func TestEndToEnd(t *testing.T) {
	endpoint := startMockLLM(t)
	dir := t.TempDir()
	s := startServer(t, dir)

	task := s.create(t, call(endpoint, map[string]any{"message_content": "are you there?"}))
	entry := s.await(t, task.ID)
	assert.Equal(t, "success", entry.Status, entry.ErrorMessage)
	assert.Equal(t, "are you there?", entry.ResponseSummary, "the endpoint answers with the question")
	assert.Equal(t, "register", entry.Trigger)

	// An interval of a second goes on by itself.
	quick := s.create(t, call(endpoint, map[string]any{"name": "quick", "interval_minutes": nil, "interval_seconds": 1}))
	waitFor(t, "three runs", func() bool { return len(s.log(t, quick.ID)) >= 3 })

	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, s.end(t), "a drain ends well")
	before := s.out.String()
	assert.NotContains(t, before, secret)

	s = startServer(t, dir)
	entries := s.log(t, task.ID)
	require.Len(t, entries, 1, "the log survives, and a restart makes no second immediate run")
	assert.Equal(t, entry.ID, entries[0].ID)
	waitFor(t, "another run of the second task", func() bool { return len(s.log(t, quick.ID)) >= 5 })
}

// slowEndpoint holds each call until it is told to answer.
type slowEndpoint struct {
	*httptest.Server
	arrived chan string // idempotency keys
	answer  chan struct{}
}

func newSlowEndpoint(t *testing.T) *slowEndpoint {
	e := &slowEndpoint{arrived: make(chan string, 10), answer: make(chan struct{})}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		e.arrived <- r.Header.Get("Idempotency-Key")
		select {
		case <-e.answer:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"1","model":"m","choices":[{"message":{"role":"assistant","content":"at last"},"finish_reason":"stop"}]}`)
	}))
	t.Cleanup(e.Server.Close)
	return e
}

func TestKilledInTheMiddleOfARun(t *testing.T) {
	slow := newSlowEndpoint(t)
	dir := t.TempDir()
	s := startServer(t, dir)
	task := s.create(t, call(slow.URL+"/v1", nil))
	first := <-slow.arrived
	require.NoError(t, s.cmd.Process.Kill())
	s.end(t)

	s = startServer(t, dir)
	assert.Equal(t, first, <-slow.arrived, "the same run is tried again, with the same idempotency key")
	close(slow.answer)
	entry := s.await(t, task.ID)
	assert.Equal(t, "success", entry.Status)
	assert.Equal(t, 2, entry.Attempt)
	assert.Equal(t, first, entry.ID)
	assert.Len(t, s.log(t, task.ID), 1, "the ledger is whole: one run, no more and no less")

	// The key is nowhere in what the process has written.
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, string(content), secret, filepath.Base(file))
	}
	assert.NotContains(t, s.out.String(), secret)
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	slow := newSlowEndpoint(t)
	s := startServer(t, t.TempDir())
	s.create(t, call(slow.URL+"/v1", nil))
	<-slow.arrived
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	waitFor(t, "the drain", func() bool { return strings.Contains(s.out.String(), "draining") })
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	assert.NotEqual(t, 0, s.end(t))
}

func TestErrorsOfTheEndpointAreRecorded(t *testing.T) {
	faults := map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "boom", http.StatusInternalServerError) },
		"429": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":{"message":"slow down"}}`, http.StatusTooManyRequests)
		},
		"page": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>captive portal</html>") },
		"error in a 200": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"error":{"message":"no credit"}}`)
		},
		"empty": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"choices":[]}`) },
		"key echoed": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
		},
	}
	s := startServer(t, t.TempDir(), "-attempts", "1")
	for name, handler := range faults {
		t.Run(name, func(t *testing.T) {
			endpoint := httptest.NewServer(handler)
			defer endpoint.Close()
			entry := s.await(t, s.create(t, call(endpoint.URL+"/v1", map[string]any{"name": name})).ID)
			assert.Equal(t, "failed", entry.Status)
			assert.NotEmpty(t, entry.ErrorMessage)
			assert.NotContains(t, entry.ErrorMessage, secret)
		})
	}
	assert.NotContains(t, s.out.String(), secret)
}

func TestDemoRunsItsSampleAtOnce(t *testing.T) {
	s := startServer(t, t.TempDir(), "-demo")
	var page struct{ Tasks []service.Task }
	r, err := client.Get(s.url + "/api/tasks")
	require.NoError(t, err)
	defer r.Body.Close()
	require.NoError(t, json.NewDecoder(r.Body).Decode(&page))
	require.Len(t, page.Tasks, 1)
	assert.Equal(t, "success", s.await(t, page.Tasks[0].ID).Status)
	assert.Contains(t, s.out.String(), "demo")
	for _, path := range []string{"/", "/tasks/new", "/tasks/" + page.Tasks[0].ID + "/logs", "/import", "/login", "/punctual/", "/punctual/tasks", "/punctual/nothing"} {
		r, err := client.Get(s.url + path)
		require.NoError(t, err)
		text, err := io.ReadAll(r.Body)
		require.NoError(t, errors.Join(err, r.Body.Close()))
		assert.Regexp(t, `class="demo"|llmcron runs \(demo\)`, string(text), path)
	}
}

// What the READMEs let a newcomer send creates a task that is called at once.
func TestTheTaskOfTheReadmeIsCalledAtOnce(t *testing.T) {
	var commands []string
	for _, page := range []string{"README.md", "README.zh-CN.md", "docs/llmcron.md"} {
		text, err := os.ReadFile(filepath.Join("../..", page))
		require.NoError(t, err)
		match := regexp.MustCompile(`(?s)curl http://127\.0\.0\.1:8080/api/tasks -d '(.*?)'`).FindSubmatch(text)
		require.NotNil(t, match, page)
		commands = append(commands, string(match[1]))
	}
	assert.Equal(t, []string{commands[0], commands[0], commands[0]}, commands)
	var f map[string]any
	require.NoError(t, json.Unmarshal([]byte(commands[0]), &f))
	assert.Equal(t, "http://"+besides("127.0.0.1:8080")+"/v1", f["api_endpoint"], "the endpoint of the demo")

	s := startServer(t, t.TempDir(), "-demo")
	f["api_endpoint"] = regexp.MustCompile(`url=(http://\S+/v1)`).FindStringSubmatch(s.out.String())[1]
	entry := s.await(t, s.create(t, f).ID)
	assert.Equal(t, "success", entry.Status, entry.ErrorMessage)
	assert.Equal(t, "register", entry.Trigger)
	assert.Contains(t, entry.ResponseSummary, "What is new?")
}

// BenchmarkPostToFirstByte measures the time from sending POST /api/tasks to the arrival of the call at the endpoint, over a server
// process with its database file.
func BenchmarkPostToFirstByte(b *testing.B) {
	arrived := make(chan time.Time, 1)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- time.Now()
		_, _ = io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}`)
	}))
	defer endpoint.Close()
	s := startServer(b, b.TempDir())
	var waits []time.Duration
	for b.Loop() {
		begin := time.Now()
		s.create(b, call(endpoint.URL+"/v1", nil))
		waits = append(waits, (<-arrived).Sub(begin))
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
}

func TestMetricsAreServed(t *testing.T) {
	endpoint := newSlowEndpoint(t)
	close(endpoint.answer)
	s := startServer(t, t.TempDir())
	task := s.create(t, call(endpoint.URL+"/v1", nil))
	assert.Equal(t, "success", s.await(t, task.ID).Status)
	read := func() string {
		r, err := client.Get(s.url + "/metrics")
		require.NoError(t, err)
		defer r.Body.Close()
		require.Equal(t, http.StatusOK, r.StatusCode)
		text, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return string(text)
	}
	// The ledger knows a moment before the observer is told.
	waitFor(t, "the run to be counted", func() bool { return strings.Contains(read(), "punctual_runs_total{") })
	text := read()
	for _, line := range []string{
		`punctual_runs_total{punctual_run_state="succeeded",punctual_run_trigger="register",punctual_task_kind="llm"} 1`,
		`punctual_attempts_total{punctual_attempt_outcome="succeeded",punctual_task_kind="llm"} 1`,
		`punctual_run_lateness_seconds_count{punctual_run_trigger="register",punctual_task_kind="llm"} 1`,
		`punctual_attempt_duration_seconds_count{punctual_attempt_outcome="succeeded",punctual_task_kind="llm"} 1`,
		`punctual_store_call_duration_seconds_bucket{punctual_store_method="claim",le="+Inf"} `,
		`punctual_instance_healthy{`, `punctual_backlog_age_seconds{`, `punctual_attempt_in_flight{`,
	} {
		assert.True(t, strings.Contains(text, line), "%s is missing", line)
	}
}

func TestADrainLetsCallsFinish(t *testing.T) {
	slow := newSlowEndpoint(t)
	dir := t.TempDir()
	s := startServer(t, dir)
	task := s.create(t, call(slow.URL+"/v1", nil))
	<-slow.arrived
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	waitFor(t, "the drain", func() bool { return strings.Contains(s.out.String(), "draining") })
	close(slow.answer)
	assert.Equal(t, 0, s.end(t))
	s = startServer(t, dir)
	entries := s.log(t, task.ID)
	require.Len(t, entries, 1)
	assert.Equal(t, "success", entries[0].Status)
	assert.Equal(t, "at last", entries[0].ResponseSummary)
}

func TestAFailureReachesTheWebhook(t *testing.T) {
	posts := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- r.URL.Path + " " + string(body)
	}))
	defer hook.Close()
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	t.Setenv("LLMCRON_WEBHOOK", hook.URL+"/services/secret-part-of-the-hook")
	s := startServer(t, t.TempDir())
	task := s.create(t, call(broken.URL+"/v1", nil))
	post := <-posts
	assert.True(t, strings.HasPrefix(post, "/services/secret-part-of-the-hook {"), post)
	for _, part := range []string{`"event":"failed"`, `"task_id":"` + task.ID + `"`, `"task_name":"ping"`, "404"} {
		assert.Contains(t, post, part)
	}
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, s.end(t))
	assert.NotContains(t, s.out.String(), "secret-part-of-the-hook")
}

func TestWrongFlagsEndAtOnce(t *testing.T) {
	path, err := buildServer()
	require.NoError(t, err)
	for want, args := range map[string][]string{
		"listens on a loopback address only": {"-addr", "0.0.0.0:0"},
		"flag provided but not defined":      {"-nonsense"},
		"attempts and concurrency":           {"-attempts", "0"},
		"longer than zero":                   {"-drain", "0s"},
		"unexpected argument":                {"serve"},
	} {
		p := launch(t, t.TempDir(), nil, path, args...)
		assert.Equal(t, 2, p.end(t), want)
		assert.Contains(t, p.out.String(), want)
	}
	p := launch(t, t.TempDir(), []string{"LLMCRON_SECRET_KEY=short"}, path, "-addr", "127.0.0.1:0")
	assert.Equal(t, 1, p.end(t))
	assert.NotContains(t, p.out.String(), "short\n")
	p = launch(t, t.TempDir(), nil, path, "-h")
	assert.Equal(t, 0, p.end(t))
}
