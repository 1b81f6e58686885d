package sqlite

import (
	"context"
	"sync/atomic"
)

const (
	// dataVersion changes when another connection has committed anything, and not for commits of the connection that asks: the one that
	// writes is asked, so what this store writes does not count (https://www.sqlite.org/pragma.html#pragma_data_version).
	dataVersion = `PRAGMA data_version`

	countNews  = `UPDATE news SET edits = edits + 1`
	selectNews = `SELECT edits FROM news`
)

// watchers is what the calls of Watch under way have to know of each other.
type watchers struct {
	calls atomic.Int64
	edits atomic.Int64 // edits through this store that others may want to know of
}

// seen is what a look has found.
type seen struct {
	version int64 // of the file
	news    int64 // edits through any store
	edits   int64 // edits through this one
}

// Watch implements punctual.Watcher. SQLite notifies nobody, so it asks. Mostly nobody else has written, and that is known without reading
// any table. If somebody has, a counter tells whether it was an edit, or only a beat or the end of a run. A single Scheduler gets no hints
// of its own edits; several that share this Store get each other's.
func (s *Store) Watch(ctx context.Context, notify func()) error {
	if s.poll <= 0 {
		<-ctx.Done()
		return nil
	}
	s.watchers.calls.Add(1)
	defer s.watchers.calls.Add(-1)
	last, err := s.look(ctx, seen{version: -1})
	if err == nil {
		notify() // of what came before the first look
	}
	for err == nil {
		timer := s.clock.Timer(s.poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		var now seen
		if now, err = s.look(ctx, last); err != nil {
			break
		}
		if now.news != last.news || now.edits != last.edits && s.watchers.calls.Load() > 1 {
			notify()
		}
		last = now
	}
	if ctx.Err() != nil {
		return nil
	}
	return fault(ctx, err)
}

// look asks what there is since the last look.
func (s *Store) look(ctx context.Context, last seen) (seen, error) {
	now := last
	now.edits = s.watchers.edits.Load()
	err := s.write.with(ctx, func() (err error) {
		now.version, err = version(ctx, s.write)
		return err
	})
	if err != nil || now.version == last.version {
		return now, err
	}
	return now, s.read.QueryRowContext(ctx, selectNews).Scan(&now.news)
}

// version asks for the version of the file.
func version(ctx context.Context, q querier) (int64, error) {
	found, err := collect(ctx, q, scanNumber, dataVersion)
	if err != nil {
		return 0, err
	}
	return found[0], nil
}
