package sqlite

import "context"

// Commits go to the log, and what is in the log has to be copied into the file, or it would grow for ever
// (https://www.sqlite.org/wal.html#ckpt). SQLite lets a commit do that which finds the log long, and who waits for the commit waits for two
// syncs as well. Here a goroutine copies it beside the connection that writes. That connection may begin the log anew only when it finds all of
// it copied as it begins to write, and while it is busy it never does. So when the log is long it has to wait, between two transactions, until
// the little is copied that was committed during the last copy.
const (
	// copyEvery is how many pages come to the log between two copies.
	copyEvery = 1000
	// longLog is how many pages a log has that is to begin anew.
	longLog = 2 * copyEvery
	// logLimit is how many pages a log has that commits copy, too, as when queries of the host hold the other connections.
	logLimit = 10 * copyEvery

	checkpoint = `PRAGMA wal_checkpoint(PASSIVE)`
)

// logKeeper keeps the log short.
type logKeeper struct {
	grown   chan struct{} // holds a token when the log is to be copied
	pages   int           // what came to the log since the last token; whose turn it is to write may use it
	stop    context.CancelFunc
	stopped chan struct{}
}

// start begins to keep the log of a store short.
func (k *logKeeper) start(s *Store) {
	ctx, stop := context.WithCancel(context.Background())
	k.grown, k.stop, k.stopped = make(chan struct{}, 1), stop, make(chan struct{})
	go func() {
		defer close(k.stopped)
		for {
			select {
			case <-k.grown:
				s.copyLog(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
}

// close ends what start began, if it did.
func (k *logKeeper) close() {
	if k.stop != nil {
		k.stop()
		<-k.stopped
	}
}

// add notes pages that have come to the log.
func (k *logKeeper) add(pages int) {
	if k.pages += pages; k.pages < copyEvery {
		return
	}
	k.pages = 0
	select {
	case k.grown <- struct{}{}:
	default: // it will be copied anyway
	}
}

// copyLog copies what is in the log. What goes wrong comes right when it is called again, or else a commit meets it.
func (s *Store) copyLog(ctx context.Context) {
	var busy, pages, copied int
	err := s.read.QueryRowContext(ctx, checkpoint).Scan(&busy, &pages, &copied)
	if err == nil && pages >= longLog {
		_ = s.write.with(ctx, func() error {
			_, err := s.write.exec(ctx, checkpoint)
			return err
		})
	}
}
