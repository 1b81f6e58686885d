package punctual

import "context"

// Editor is the one method of a Store that a transaction of the host can offer: what Store.Edit promises, except that the change is
// committed, or not, with the transaction. The SQL stores make one of their driver's transaction (the Tx method of each).
type Editor interface {
	Edit(ctx context.Context, req EditRequest) (EditReply, error)
}

// Tx registers tasks in a transaction of the host, together with the host's own data: both are there after the commit, and neither
// after a rollback. Make it with Scheduler.In. Like the transaction it is not for concurrent use.
//
//	tx, err := pool.Begin(ctx)
//	// ... the host's own statements on tx ...
//	in := s.In(store.Tx(tx))
//	if err := in.Add(ctx, task); err != nil {
//		return err // and roll back
//	}
//	if err := tx.Commit(ctx); err != nil {
//		return err
//	}
//	in.Committed()
//
// Nothing starts before the commit: an immediate run is stored as due, and whichever instance looks first starts it afterwards. The
// changes lock their tasks until the transaction ends, so keep it short.
type Tx struct {
	scheduler *Scheduler
	editor    Editor
	held      []func() // what to tell after the commit
}

// In returns the registrations of s within a transaction of the host. The editor comes from the store that s was made with, and
// belongs to a transaction on the same database.
func (s *Scheduler) In(editor Editor) *Tx { return &Tx{scheduler: s, editor: editor} }

// Add is Scheduler.Add within the transaction, with the same errors.
func (t *Tx) Add(ctx context.Context, task Task) error {
	return t.scheduler.register(ctx, t, &task, modeAdd)
}

// Ensure is Scheduler.Ensure within the transaction, with the same errors.
func (t *Tx) Ensure(ctx context.Context, task Task) error {
	return t.scheduler.register(ctx, t, &task, modeEnsure)
}

// Reschedule is Scheduler.Reschedule within the transaction, with the same errors. Occurrences of the old schedule may start until the
// transaction is committed, but for the time that its lock keeps them from.
func (t *Tx) Reschedule(ctx context.Context, task Task) error {
	return t.scheduler.register(ctx, t, &task, modeReschedule)
}

// Remove is Scheduler.Remove within the transaction, with the same errors. CancelRunning takes effect with Committed.
func (t *Tx) Remove(ctx context.Context, id string, opts ...RemoveOption) error {
	return t.scheduler.remove(ctx, t, id, opts)
}

// Pause is Scheduler.Pause within the transaction, with the same errors.
func (t *Tx) Pause(ctx context.Context, id string) error { return t.scheduler.pauseTask(ctx, t, id) }

// Resume is Scheduler.Resume within the transaction, with the same errors.
func (t *Tx) Resume(ctx context.Context, id string) error { return t.scheduler.resumeTask(ctx, t, id) }

// RunNow is Scheduler.RunNow within the transaction, with the same errors. The run is pending, or skipped with the reason.
func (t *Tx) RunNow(ctx context.Context, id string) (Run, error) {
	return t.scheduler.runNow(ctx, t, id)
}

// Committed tells the Scheduler that the transaction is committed: it looks at once for what is due, and its observer and log hear of the
// changes. Without it nothing is lost but those: instances find the changes when their store's hint comes or when they look again by
// themselves, after WithMaxSleep at most. After a rollback forget the Tx instead.
func (t *Tx) Committed() {
	held := t.held
	t.held = nil
	for _, tell := range held {
		tell()
	}
}
