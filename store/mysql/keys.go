package mysql

import (
	"database/sql"
	"hash/crc32"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	// lockSlots waits for the locks of some concurrency keys, lockFreeSlots takes those that are free. Both go along the primary key: a
	// walk through the table would wait for rows that nobody has asked for.
	lockSlots     = `SELECT slot FROM {locks} FORCE INDEX (PRIMARY) WHERE slot IN (?) ORDER BY slot FOR UPDATE`
	lockFreeSlots = `SELECT slot FROM {locks} FORCE INDEX (PRIMARY) WHERE slot IN (?) ORDER BY slot FOR UPDATE SKIP LOCKED`

	selectKeys = `SELECT concurrency_key, COUNT(*), MIN(id) FROM {runs} FORCE INDEX (runs_key)
		WHERE concurrency_key IN (?) AND state = 'running' GROUP BY concurrency_key`

	// selectWaiters finds runs that wait for some keys, of each key and kind so many, the oldest, and how old each is among them.
	selectWaiters = `SELECT id, concurrency_key, place FROM (
			SELECT r.id, r.concurrency_key, ROW_NUMBER() OVER (PARTITION BY r.concurrency_key, r.kind ORDER BY r.id) AS place
			FROM {runs} AS r FORCE INDEX (runs_key) STRAIGHT_JOIN {tasks} AS t ON t.id = r.task_id
			WHERE r.concurrency_key IN (?) AND r.state = 'pending' AND r.key_wait = 1 AND t.fault = '' AND t.format <= ? ` + reading + `) AS w
		WHERE place <= ?`

	passOnKey = `UPDATE {runs} FORCE INDEX (PRIMARY) SET due_us = ?, key_wait = 0
		WHERE id IN (?) AND state = 'pending' AND key_wait = 1`

	selectKeysOfTask = `SELECT DISTINCT concurrency_key FROM {runs} FORCE INDEX (runs_live)
		WHERE task_id = ? AND state IN ('pending', 'running') AND concurrency_key <> ''`

	// selectFreed names a key once for each run of a task that holds it or is about to try.
	selectFreed = `SELECT concurrency_key FROM {runs} FORCE INDEX (runs_live)
		WHERE task_id = ? AND state IN ('pending', 'running') AND concurrency_key <> '' AND (state = 'running' OR due_us IS NOT NULL)`
)

// slotCount is how many rows the table of locks has.
const slotCount = 1024

// slotOf is the row that is locked for a concurrency key. Every version of the library has to find the same one.
func slotOf(key string) int { return int(crc32.ChecksumIEEE([]byte(key)) % slotCount) }

// named returns the keys of a list, each once and in order, without the empty one.
func named(keys []string) []string {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

// lockKeys takes the locks of some keys. Who holds one sees all runs under its keys as they are, and no other lets go of such a key or takes
// it meanwhile. Locks are taken after those of tasks and before any row of a run is written.
func lockKeys(t *txn, names []string) error {
	slots := slotsOf(names)
	if len(slots) == 0 {
		return nil
	}
	_, err := collect(t, scanInt, lockSlots, slots)
	return err
}

// lockFreeKeys takes the locks of those keys that nobody holds, and returns a function that knows them.
func lockFreeKeys(t *txn, names []string) (held func(key string) bool, err error) {
	slots := slotsOf(names)
	if len(slots) == 0 {
		return func(key string) bool { return key == "" }, nil
	}
	got, err := collect(t, scanInt, lockFreeSlots, slots)
	return func(key string) bool { return key == "" || slices.Contains(got, slotOf(key)) }, err
}

func slotsOf(names []string) []int {
	var slots []int
	for _, name := range named(names) {
		slots = append(slots, slotOf(name))
	}
	slices.Sort(slots)
	return slices.Compact(slots)
}

func scanInt(rows *sql.Rows) (n int, err error) { return n, rows.Scan(&n) }

// loadKeys looks up some keys, whose locks are held; empty names are none.
func loadKeys(t *txn, names []string) (ledger.Keys, error) {
	names = named(names)
	if len(names) == 0 {
		return nil, nil
	}
	found := make(ledger.Keys, len(names))
	for _, name := range names {
		found[name] = &ledger.Holders{}
	}
	_, err := collect(t, func(rows *sql.Rows) (struct{}, error) {
		var name string
		var h ledger.Holders
		err := rows.Scan(&name, &h.Active, &h.Oldest)
		found[name] = &h
		return struct{}{}, err
	}, selectKeys, names)
	return found, err
}

// freedKeys returns the keys that a change frees: of due pending runs that it ends, sends to the overlap gate or gives another key, and of all
// live runs that it removes.
func freedKeys(t *txn, id string, due map[string]string, c *punctual.Change) ([]string, error) {
	if c.Remove && !c.KeepHistory {
		return collect(t, scanText, selectFreed, id)
	}
	return ledger.FreedKeys(due, c), nil
}

// passOn makes due who waits for the keys, each of which was freed as often as it is listed, and returns how many runs that were.
func passOn(t *txn, freed []string, now time.Time) (int, error) {
	names, times := ledger.Tally(freed)
	if len(names) == 0 {
		return 0, nil
	}
	var waiters []string
	_, err := collect(t, func(rows *sql.Rows) (struct{}, error) {
		var id, key string
		var place int64
		err := rows.Scan(&id, &key, &place)
		if i, found := slices.BinarySearch(names, key); found && place <= times[i] {
			waiters = append(waiters, id)
		}
		return struct{}{}, err
	}, selectWaiters, names, punctual.TaskFormat, slices.Max(times))
	if err != nil || len(waiters) == 0 {
		return 0, err
	}
	slices.Sort(waiters)
	_, err = t.exec(passOnKey, now.UnixMicro(), waiters)
	return len(waiters), err
}
