//go:build linux

package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// machine is a database server of the test's own, in a temporary folder, which it may do to what it likes.
type machine struct {
	t       *testing.T
	command func() *exec.Cmd
	address string
	log     string
	crash   syscall.Signal // what ends it at once, so that it has to recover when it starts again
	running *exec.Cmd
	dsn     string // where databases can be made
}

// newMachine makes a folder that a user of the system may write to when this is root, and as whom to run commands.
func newMachine(t *testing.T, name string) (m *machine, dir string, as *syscall.SysProcAttr) {
	dir, err := os.MkdirTemp("", "faults") // no folder of t, which only its owner may enter
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	as = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		account, err := user.Lookup(name)
		if err != nil {
			missing(t, "the user "+name, err)
		}
		uid, err := strconv.Atoi(account.Uid)
		require.NoError(t, err)
		gid, err := strconv.Atoi(account.Gid)
		require.NoError(t, err)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		require.NoError(t, os.Chown(dir, uid, gid))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	m = &machine{t: t, address: l.Addr().String(), log: filepath.Join(dir, "log")}
	t.Cleanup(func() {
		if m.running != nil {
			m.stop()
		}
	})
	return m, dir, as
}

func newPostgres(t *testing.T) *machine {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	require.NoError(t, err)
	bins = append(bins, filepath.Dir(lookPath("initdb")))
	bins = slices.DeleteFunc(bins, func(dir string) bool { return lookPath(filepath.Join(dir, "postgres")) == "" })
	if len(bins) == 0 {
		missing(t, "the programs of a PostgreSQL server", exec.ErrNotFound)
	}
	m, dir, as := newMachine(t, "postgres")
	data := filepath.Join(dir, "data")
	m.prepare(as, filepath.Join(bins[0], "initdb"), "-D", data, "--auth=trust", "--username=postgres", "--no-sync")
	_, port, _ := net.SplitHostPort(m.address)
	m.crash = syscall.SIGQUIT // what pg_ctl stop -m immediate sends
	m.command = func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(bins[0], "postgres"), "-D", data, "-h", "127.0.0.1", "-p", port, "-k", dir)
		cmd.SysProcAttr = as
		return cmd
	}
	m.dsn = "postgres://postgres@" + m.address + "/postgres?sslmode=disable"
	m.start()
	return m
}

func newMariaDB(t *testing.T) *machine {
	install, server := lookPath("mariadb-install-db"), lookPath("mariadbd")
	if install == "" || server == "" {
		missing(t, "the programs of a MariaDB server", exec.ErrNotFound)
	}
	m, dir, as := newMachine(t, "mysql")
	data := filepath.Join(dir, "data")
	m.prepare(as, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	_, port, _ := net.SplitHostPort(m.address)
	m.crash = syscall.SIGKILL
	m.command = func() *exec.Cmd {
		cmd := exec.Command(server, "--no-defaults", "--datadir="+data, "--socket="+filepath.Join(dir, "socket"), "--bind-address=127.0.0.1", "--port="+port,
			"--pid-file="+filepath.Join(dir, "pid"))
		cmd.SysProcAttr = as
		return cmd
	}
	m.dsn = "root@tcp(" + m.address + ")/"
	m.start()
	return m
}

func lookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// prepare runs a command that makes the server's files.
func (m *machine) prepare(as *syscall.SysProcAttr, name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as.Credential}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	require.NoError(m.t, err, string(out))
}

// start starts the server and waits until it answers.
func (m *machine) start() {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	require.NoError(m.t, err)
	defer log.Close()
	cmd := m.command()
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	require.NoError(m.t, cmd.Start())
	m.running = cmd
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err = execute(m.t, m.dsn, "SELECT 1"); err == nil {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(m.log)
			m.t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
	}
}

// stop ends the server at once.
func (m *machine) stop() {
	require.NoError(m.t, m.running.Process.Signal(m.crash))
	var exit *exec.ExitError
	if err := m.running.Wait(); err != nil && !errors.As(err, &exit) {
		m.t.Error(err)
	}
	m.running = nil
}

func TestTheServerCrashesAndComesBack(t *testing.T) {
	slow(t)
	alone(t)
	t.Parallel()
	machines := map[string]func(*testing.T) *machine{"PostgreSQL": newPostgres, "MariaDB": newMariaDB}
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			m := machines[s.name](t)
			tasks, every, crashes := 40, 500*time.Millisecond, 1
			if *long {
				tasks, every, crashes = 1000, time.Second, 4
			}
			var dsn string
			if s.name == "PostgreSQL" {
				dsn = postgresDatabase(t, m.dsn)
			} else {
				dsn = mysqlDatabase(t, m.dsn)
			}
			c := newCrew(t, dsn, 2*shortLease)
			crew := []*member{c.start(orders{})}
			for range 3 {
				crew = append(crew, c.start(orders{}))
			}
			for i := range tasks {
				c.add(punctual.Task{ID: fmt.Sprintf("t%d", i), Schedule: punctual.Every(every)}, chore{})
			}
			ends := func(e *event) bool { return e.What == isEnded }
			busy := func() {
				n := c.count(ends)
				c.await("each task to run again", func() bool { return c.count(ends) >= n+tasks })
			}
			busy()
			for range crashes {
				m.stop()
				definition, err := punctual.Task{ID: "refused", Schedule: punctual.Every(time.Hour)}.MarshalJSON()
				require.NoError(t, err)
				const limit = 10 * time.Second
				answer := crew[1].ask(request{Call: "add", Task: string(definition), Limit: limit})
				assert.Equal(t, "unavailable", answer.Output, answer.Text)
				assert.Less(t, answer.time().Sub(time.UnixMicro(answer.From)), limit)
				c.await("an instance that asks for nothing to notice", func() bool { return !crew[2].ask(request{Call: "health"}).Health.OK })
				m.start()
				busy()
			}
			c.await("all to be well", func() bool {
				for _, m := range crew {
					if !m.ask(request{Call: "health"}).Health.OK {
						return false
					}
				}
				return true
			})
			v := c.finish()
			assert.GreaterOrEqual(t, v.Executions, tasks*(1+crashes))
			for _, m := range crew {
				assert.Zero(t, m.diedAt(), m.Name)
			}
		})
	}
}
