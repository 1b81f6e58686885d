package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	selectKeys = `SELECT key, count(*), min(id) FROM runs
		WHERE key IN (SELECT value FROM json_each(?)) AND key <> ''` + live + ` AND state = 'running' GROUP BY key`

	// passOnKey makes due some runs of each kind that wait for a key, the oldest.
	passOnKey = `UPDATE runs SET due_us = ?, key_wait = 0 WHERE id IN (SELECT id FROM (
			SELECT runs.id, row_number() OVER (PARTITION BY runs.kind ORDER BY runs.id) AS place FROM runs JOIN tasks ON tasks.id = runs.task_id
			WHERE runs.key = ? AND runs.key <> ''` + live + ` AND runs.state = 'pending' AND runs.key_wait = 1
				AND tasks.fault = '' AND tasks.format <= ?)
		WHERE place <= ?)`

	// selectKeysOfTask names a key once for each run that holds it or is about to try.
	selectKeysOfTask = `SELECT key FROM runs WHERE task_id = ?` + live + ` AND key <> '' AND (state = 'running' OR due_us IS NOT NULL)`
)

// loadKeys looks up some keys; empty names are none.
func loadKeys(ctx context.Context, q querier, names []string) (ledger.Keys, error) {
	if len(names) == 0 {
		return nil, nil
	}
	names = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(names))), func(name string) bool { return name == "" })
	if len(names) == 0 {
		return nil, nil
	}
	found := make(ledger.Keys, len(names))
	for _, name := range names {
		found[name] = &ledger.Holders{}
	}
	_, err := collect(ctx, q, func(rows rows) (struct{}, error) {
		var name string
		var h ledger.Holders
		err := rows.Scan(&name, &h.Active, &h.Oldest)
		found[name] = &h
		return struct{}{}, err
	}, selectKeys, jsonList(names))
	return found, err
}

// freedKeys returns the keys that a change frees: of due pending runs that it ends, sends to the overlap gate or gives another key, and of all
// live runs that it removes.
func freedKeys(tx *txn, id string, due map[string]string, c *punctual.Change) ([]string, error) {
	if c.Remove && !c.KeepHistory {
		return collect(tx.ctx, tx, scanText, selectKeysOfTask, id)
	}
	return ledger.FreedKeys(due, c), nil
}

// passOn makes due who waits for the keys, each of which was freed as often as it is listed, and returns how many runs that were.
func passOn(tx *txn, freed []string, now time.Time) (int64, error) {
	if len(freed) == 0 {
		return 0, nil
	}
	total := int64(0)
	names, times := ledger.Tally(freed)
	for i, name := range names {
		n, err := tx.exec(passOnKey, now.UnixMicro(), name, punctual.TaskFormat, times[i])
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}
