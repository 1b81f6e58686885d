//go:build linux

package main

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// user is who the image runs as.
const user = 65532

// TestTheImageRuns builds the program with the command of the Dockerfile and runs it in a root that holds what the image holds, as its user and with its
// environment: a chroot stands in for the container. It is for make image, since it builds all dependencies anew and needs root.
func TestTheImageRuns(t *testing.T) {
	if os.Getenv("PUNCTUAL_IMAGE") != "1" {
		t.Skip("takes a while: run make image")
	}
	if os.Getuid() != 0 {
		t.Fatal("needs root, for chroot and another user")
	}
	docker, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	build := regexp.MustCompile(`RUN (CGO_ENABLED=0 go build .*?) -o /out/llmcron (\S+)`).FindStringSubmatch(string(docker))
	require.Len(t, build, 3, "the command that builds")
	root := t.TempDir()
	binary := filepath.Join(root, "llmcron")
	compile := exec.Command("sh", "-c", build[1]+" -o "+binary+" "+build[2])
	compile.Dir = "../.."
	out, err := compile.CombinedOutput()
	require.NoError(t, err, string(out))
	for dir := root; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755)) // the image's root can be read by all
	}
	data := filepath.Join(root, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.Chown(data, user, user))

	// An endpoint over TLS whose authority is only in the image's certificates.
	endpoint := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"over TLS"},"finish_reason":"stop"}]}`)
	}))
	defer endpoint.Close()
	certs := filepath.Join(root, "etc/ssl/certs")
	require.NoError(t, os.MkdirAll(certs, 0o755))
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endpoint.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(certs, "ca-certificates.crt"), authority, 0o644))

	addr := freePort(t)
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	const token = "the-token-of-the-image"
	start := func() *program {
		p := &program{cmd: exec.Command("/llmcron"), out: &syncBuffer{}, done: make(chan error, 1)}
		for _, line := range regexp.MustCompile(`(?m)^ENV (.*)$`).FindAllStringSubmatch(string(docker), -1) {
			p.cmd.Env = append(p.cmd.Env, strings.Fields(line[1])...)
		}
		require.Contains(t, p.cmd.Env, "LLMCRON_DB=/data/llmcron.db")
		p.cmd.Env = append(p.cmd.Env, "LLMCRON_ADDR=:"+port, "LLMCRON_TOKEN="+token)
		p.cmd.Dir = "/"
		p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
		require.NoError(t, p.cmd.Start())
		go func() { p.done <- p.cmd.Wait() }()
		t.Cleanup(func() {
			_ = p.cmd.Process.Kill()
			select {
			case <-p.done:
			case <-time.After(patience):
			}
			if t.Failed() {
				t.Log(p.out.String())
			}
		})
		waitFor(t, "the server", func() bool { return answers("http://" + addr + "/healthz") })
		return p
	}
	ask := func(method, path, text string) (int, string) {
		r, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(text))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(b)
	}

	p := start()
	code, answer := ask("POST", "/api/tasks", body(fields(map[string]any{
		"name": "zone", "schedule_type": "fixed_time", "fixed_time": "09:00", "interval_minutes": nil, "timezone": "Asia/Kathmandu",
	})))
	assert.Equal(t, http.StatusCreated, code, "zones are inside the binary: %s", answer)
	assert.Contains(t, answer, "03:15:00Z", "nine o'clock there")
	code, answer = ask("POST", "/api/tasks", body(fields(map[string]any{"name": "tls", "api_endpoint": endpoint.URL + "/v1"})))
	require.Equal(t, http.StatusCreated, code, answer)
	waitFor(t, "the call over TLS", func() bool { _, answer = ask("GET", "/api/logs", ""); return !strings.Contains(answer, `"running"`) })
	assert.Contains(t, answer, "over TLS")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.end(t))

	for _, name := range []string{"llmcron.db", "llmcron.db.key"} {
		info, err := os.Stat(filepath.Join(data, name))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		assert.EqualValues(t, user, info.Sys().(*syscall.Stat_t).Uid, name)
	}
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	assert.Len(t, entries, 3, "nothing is written outside of /data")

	p = start()
	_, answer = ask("GET", "/api/tasks", "")
	assert.Contains(t, answer, `"tls"`, "the data outlives the container")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.end(t))

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("the unit is not looked at: there is no systemd-analyze")
	}
	unit, err := os.ReadFile("llmcron.service")
	require.NoError(t, err)
	text := strings.ReplaceAll(string(unit), "/usr/local/bin/llmcron", binary)
	require.NotEqual(t, string(unit), text)
	file := filepath.Join(t.TempDir(), "llmcron.service")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	out, err = exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.NotContains(t, string(out), "llmcron.service", "no warning about the unit")
}
