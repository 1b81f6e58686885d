package punctual

import (
	"context"
	"time"
)

// Preparer is implemented by stores that can make a claim before its time, all but the commit. What comes due together at one instant then
// starts with one commit at that instant, instead of after it, claim by claim. A Scheduler asks for it when many tasks are about to come
// due, see WithLookahead; whatever is not prepared is claimed as ever.
type Preparer interface {
	// Upcoming counts the tasks that a Prepare for the instant might take, at most req.Limit. It locks and changes nothing.
	Upcoming(ctx context.Context, req UpcomingRequest) (int, error)

	// Prepare does what a Claim at the instant req.At would do, in a transaction that it leaves open, for up to Limit tasks whose NextRunAt is
	// just that instant and that have neither a live run nor a concurrency key. What is due earlier is none of its business, nor is a task
	// that somebody else holds locked.
	//
	// Until the transaction ends nobody sees anything of it. Claims, and Prepares of others, pass its tasks over; edits of them wait. When the
	// instance vanishes nothing has happened: the store gives the tasks up a second after Hold has passed, if it does not notice before.
	//
	// It answers nil without error when there is nothing to take, or when something is in the way. With a Session that is not alive any
	// more it answers ErrLeaseLost. A View that decide gets has req.At for its Now, and whatever decide refuses is left alone.
	Prepare(ctx context.Context, req PrepareRequest) (Prepared, error)
}

// Prepared is a claim that waits for its instant. Its calls come one at a time, and the last is either Commit or Cancel.
type Prepared interface {
	// Extend takes up to limit more tasks, as Prepare does. After an error only Cancel is left.
	Extend(ctx context.Context, limit int) error
	// Commit commits as soon as the store's clock has reached the instant, and answers as Claim does, but that its NextDue is the instant: whoever
	// asks looks again at once. Now is as in all requests. After an error it is over, and only after one of the commit itself it is
	// unknown whether it took effect.
	Commit(ctx context.Context, now time.Time) (ClaimReply, error)
	// Cancel ends the transaction, as if nothing had been prepared.
	Cancel(ctx context.Context)
}

// UpcomingRequest asks how much comes due at one instant.
type UpcomingRequest struct {
	At      time.Time
	Limit   int
	Kinds   []string // as in ClaimRequest
	Without []string // kinds that are left out
}

// PrepareRequest asks for a claim before its time.
type PrepareRequest struct {
	At      time.Time
	Hold    time.Duration // how long At is off; zero when it has come meanwhile
	Session string        // as in ClaimRequest
	Limit   int
	Kinds   []string
	Without []string // kinds that are left out
	Decide  DecideFunc
}
