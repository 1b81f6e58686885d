//go:build linux

package faults

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// A newer version of the library works on the same tables: it has added to them, and it keeps tasks in a format that this one does not know.
func TestProcessesLeaveAloneWhatANewerVersionWrote(t *testing.T) {
	slow(t)
	on(t, all, func(t *testing.T, dsn string) {
		c := newCrew(t, dsn, shortLease)
		newer, err := punctual.New(c.store, nobody) // the books of the crew do not know of its tasks
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, newer.Close()) })
		const known = 10
		for i := range known {
			id := fmt.Sprintf("newer%d", i)
			require.NoError(t, newer.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Second)})) // with an immediate run
		}
		versions := "migrations"
		if !strings.Contains(dsn, "@tcp(") {
			versions = "punctual_migrations"
		}
		statements := []string{
			"ALTER TABLE " + table(dsn, "tasks") + " ADD COLUMN zeal INTEGER NOT NULL DEFAULT 7",
			"CREATE TABLE " + table(dsn, "novelties") + " (id INTEGER NOT NULL PRIMARY KEY)",
			"INSERT INTO " + table(dsn, "novelties") + " VALUES (1)",
			"UPDATE " + table(dsn, "tasks") + " SET format = 99, definition = 'a definition of tomorrow'",
		}
		switch {
		case strings.HasPrefix(dsn, "postgres://"):
			statements = append(statements, "INSERT INTO "+table(dsn, versions)+" (version) VALUES (99)")
		case strings.Contains(dsn, "@tcp("):
			statements = append(statements, "INSERT INTO "+table(dsn, versions)+" (version, applied_us) VALUES (99, 1)")
		default:
			statements = append(statements, "PRAGMA user_version = 99")
		}
		crew := []*member{c.start(orders{}), c.start(orders{}), c.start(orders{})}
		require.NoError(t, execute(t, dsn, statements...))
		c.await("what was in flight", func() bool { return len(c.dumpRuns("state = 'running'")) == 0 })
		before := c.dump("tasks", "id LIKE 'newer%'")
		runsBefore := c.dumpRuns("task_id LIKE 'newer%'")
		require.Len(t, before, known)
		for i := range 5 {
			c.add(punctual.Task{ID: fmt.Sprintf("known%d", i), Schedule: punctual.Every(200 * time.Millisecond)}, chore{Takes: 10 * time.Millisecond})
		}
		busy := func(n int) {
			begun := c.count(func(e *event) bool { return e.What == isEnded })
			c.await("known tasks to run", func() bool { return c.count(func(e *event) bool { return e.What == isEnded }) >= begun+n })
		}
		busy(10)
		crew[0].kill() // what was in flight there is taken over
		busy(30)
		for _, edit := range []error{
			newer.Reschedule(t.Context(), punctual.Task{ID: "newer0", Schedule: punctual.Every(time.Hour)}),
			newer.Ensure(t.Context(), punctual.Task{ID: "newer0", Schedule: punctual.Every(time.Hour)}),
			newer.Pause(t.Context(), "newer0"),
		} {
			require.Error(t, edit, "nobody overwrites what a newer version wrote")
		}
		assert.Equal(t, before, c.dump("tasks", "id LIKE 'newer%'"))
		assert.Equal(t, runsBefore, c.dumpRuns("task_id LIKE 'newer%'"))
		assert.Len(t, c.dump("novelties", "id = 1"), 1)
		for _, m := range crew[1:] {
			h := m.ask(request{Call: "health"}).Health
			assert.Zero(t, h.SetAside, "what is newer is not broken: %v", h.Reasons)
		}
		_, err = Open(t.Context(), dsn)
		require.ErrorIs(t, err, punctual.ErrStoreSchema, "an old version is not started on newer tables")
		for _, m := range crew[1:] {
			m.shutdown(patience)
		}
	})
}

// The version before has made the tables, and one of its instances is alive when they are brought up to date and goes on. Its statements are
// those that it has, though the process is not.
func TestAnInstanceOfTheVersionBeforeGoesOnWhenTablesAreBroughtUpToDate(t *testing.T) {
	on(t, all, func(t *testing.T, dsn string) {
		first, err := Open(t.Context(), dsn)
		require.NoError(t, err)
		require.NoError(t, first.Close())
		versions := "DELETE FROM " + table(dsn, "migrations") + " WHERE version > 1"
		switch {
		case strings.HasPrefix(dsn, "postgres://"):
			versions = "DELETE FROM " + table(dsn, "punctual_migrations") + " WHERE version > 1"
		case !strings.Contains(dsn, "@tcp("):
			versions = "PRAGMA user_version = 1"
		}
		beat := func(session string) string {
			return "INSERT INTO " + table(dsn, "sessions") + " (id, instance, version, started_us, seen_us, expires_us, offset_us, in_flight, dead) VALUES ('" +
				session + "', '" + session + "', 'before', 1, 1, 9000000000000000, 0, 0, false)"
		}
		require.NoError(t, execute(t, dsn, "ALTER TABLE "+table(dsn, "sessions")+" DROP COLUMN kinds", versions, beat("was there")))
		store, err := Open(t.Context(), dsn)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		require.NoError(t, execute(t, dsn, beat("came later"), "UPDATE "+table(dsn, "sessions")+" SET seen_us = 2 WHERE id = 'was there'"))
		_, err = store.Beat(t.Context(), punctual.BeatRequest{Session: "new", Instance: "new", Lease: time.Hour, Kinds: []string{"mail"}})
		require.NoError(t, err)
		instances, err := store.Instances(t.Context())
		require.NoError(t, err)
		kinds := map[string][]string{}
		for _, i := range instances {
			kinds[i.Name] = i.Kinds
		}
		assert.Equal(t, map[string][]string{"was there": nil, "came later": nil, "new": {"mail"}}, kinds, "who does not tell counts as handling all")
	})
}

// dumpRuns reads runs as they are stored.
func (c *crew) dumpRuns(where string) []string {
	c.t.Helper()
	if strings.HasPrefix(c.dsn, "postgres://") {
		return append(c.dump("live_runs", where), c.dump("ended_runs", where)...)
	}
	return c.dump("runs", where)
}

// dump reads rows as they are stored.
func (c *crew) dump(name, where string) []string {
	c.t.Helper()
	db := raw(c.t, c.dsn)
	defer db.Close()
	rows, err := db.QueryContext(c.t.Context(), "SELECT * FROM "+table(c.dsn, name)+" WHERE "+where+" ORDER BY id")
	require.NoError(c.t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(c.t, err)
	var found []string
	for rows.Next() {
		values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(c.t, rows.Scan(into...))
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = columns[i] + "=" + string(v)
		}
		found = append(found, strings.Join(row, " "))
	}
	require.NoError(c.t, rows.Err())
	return found
}

func TestOnePoisonedRowAmongManyHarmsNoOther(t *testing.T) {
	on(t, all, func(t *testing.T, dsn string) {
		tasks := 99
		if *long {
			tasks = 499
		}
		c := newCrew(t, dsn, 6*time.Second)
		c.start(orders{})
		c.launch(orders{})
		other, err := punctual.New(c.store, nobody) // so that nobody waits for what the poisoned task owes
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, other.Close()) })
		poisoned := once("poisoned", time.Hour)
		require.NoError(t, other.Add(t.Context(), poisoned))
		c.addTogether(3*time.Second, group{id: "t", n: tasks})
		poison := "definition = '{\"schedule\":\"every now and then\"}', next_us = (SELECT min(next_us) FROM (SELECT * FROM " + table(dsn, "tasks") + ") AS t)"
		if strings.Contains(dsn, "@tcp(") {
			poison += ", digest = ''"
		}
		require.NoError(t, execute(t, dsn, "UPDATE "+table(dsn, "tasks")+" SET "+poison+" WHERE id = 'poisoned'"))
		c.await("the others to be executed", func() bool { return c.count(func(e *event) bool { return e.What == isEnded }) == tasks })
		snap, err := c.store.Task(t.Context(), "poisoned")
		require.NoError(t, err)
		assert.NotEmpty(t, snap.Fault)
		aside := 0
		for _, m := range c.all() {
			aside += m.ask(request{Call: "health"}).Health.SetAside
		}
		assert.Equal(t, 1, aside, "set aside once, by whoever met it")
		v := c.finish()
		assert.Equal(t, tasks, v.Executions)
	})
}
