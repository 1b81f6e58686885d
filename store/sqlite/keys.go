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

	// passOnKey makes due the oldest run of each kind that waits for a key.
	passOnKey = `UPDATE runs SET due_us = ?, key_wait = 0 WHERE id IN (
		SELECT min(runs.id) FROM runs JOIN tasks ON tasks.id = runs.task_id
		WHERE runs.key = ? AND runs.key <> ''` + live + ` AND runs.state = 'pending' AND runs.key_wait = 1 AND tasks.fault = '' AND tasks.format <= ?
		GROUP BY runs.kind)`

	selectKeysOfTask = `SELECT DISTINCT key FROM runs WHERE task_id = ?` + live + ` AND key <> ''`
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

// passOn makes due who waits for the keys, and returns how many runs that were.
func passOn(tx *txn, names []string, now time.Time) (int64, error) {
	if len(names) == 0 {
		return 0, nil
	}
	total := int64(0)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if name == "" {
			continue
		}
		n, err := tx.exec(passOnKey, now.UnixMicro(), name, punctual.TaskFormat)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}
