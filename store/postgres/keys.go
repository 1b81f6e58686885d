package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// A concurrency key is nobody's row, so whoever looks at who holds it, or passes it on, first locks the slot that its hash points at:
// what is decided then still holds at the commit. Locks are taken in one order, so that nobody waits in a circle: tasks, running rows,
// slots, pending rows; and in each by id.
const (
	// lockSlots locks the slots of some keys: those named, those of some tasks, and those of their live runs.
	lockSlots = `SELECT slot FROM {schema}.key_slots
		WHERE slot IN (
			SELECT (hashtextextended(key, 0) & 1023)::integer FROM (
				SELECT unnest($1::text[])
				UNION SELECT t.key FROM {schema}.tasks t WHERE t.id = ANY ($2::text[])
				UNION SELECT r.key FROM {schema}.live_runs r WHERE r.task_id = ANY ($2::text[])
			) AS wanted (key) WHERE key <> ''
		) ORDER BY slot FOR UPDATE`

	selectKeys = `SELECT r.key, count(*), min(r.id) FROM {schema}.live_runs r
		WHERE r.key = ANY ($1::text[]) AND r.key <> '' AND r.state = 'running' GROUP BY r.key`

	// passOnKey makes due some runs of each kind that wait for a key, the oldest.
	passOnKey = `UPDATE {schema}.live_runs SET due_us = $1, key_wait = false WHERE id IN (
		SELECT w.id FROM unnest($2::text[], $3::bigint[]) AS freed (key, times) JOIN (
			SELECT r.id, r.key, row_number() OVER (PARTITION BY r.key, r.kind ORDER BY r.id) AS place
			FROM {schema}.live_runs r JOIN {schema}.tasks t ON t.id = r.task_id
			WHERE r.key = ANY ($2::text[]) AND r.key <> '' AND r.state = 'pending' AND r.key_wait
				AND t.fault = '' AND t.format <= $4) AS w ON w.key = freed.key AND w.place <= freed.times)`
)

// loadKeys asks for some keys; empty names are none.
func loadKeys(t *txn, k ledger.Keys, names []string) {
	names = distinct(names)
	if len(names) == 0 {
		return
	}
	for _, name := range names {
		k[name] = &ledger.Holders{}
	}
	t.queue(selectKeys, names).Query(func(rows pgx.Rows) error {
		var name string
		var h ledger.Holders
		_, err := pgx.ForEachRow(rows, []any{&name, &h.Active, &h.Oldest}, func() error {
			found := h
			k[name] = &found
			return nil
		})
		return err
	})
}

// passOn makes due who waits for some keys, whose slots are locked, and counts them. Each key was freed as often as it is listed.
func passOn(t *txn, freed []string, now time.Time, n *int64) {
	if names, times := ledger.Tally(freed); len(names) > 0 {
		t.count(n, passOnKey, now.UnixMicro(), names, times, punctual.TaskFormat)
	}
}

// distinct returns the names in order, each once, without the empty one.
func distinct(names []string) []string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
