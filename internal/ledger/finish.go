package ledger

import (
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// Finish records the outcome of one attempt in its run, as Store.Finish promises; gone says that the run's task does not exist any more.
// After VerdictApplied the run has left the running state and all of it is to be written; noted says that a stale outcome was added to
// its History, and only that is.
func Finish(run *punctual.Run, item *punctual.Finish, gone bool, now time.Time) (verdict punctual.Verdict, noted bool) {
	finished := micros(item.FinishedAt)
	if repeats(run, item, finished) {
		return punctual.VerdictAlready, false
	}
	if run.State != punctual.StateRunning || run.Attempt != item.Attempt {
		for _, a := range run.History {
			if a.Outcome == "stale" && a.Number == item.Attempt && a.FinishedAt.Equal(finished) {
				return punctual.VerdictStale, false
			}
		}
		run.History = append(run.History, attempt(run, item, "stale"))
		return punctual.VerdictStale, true
	}
	if run.CancelRequested && item.State != punctual.StateCanceled && item.State != punctual.StatePending {
		run.BlockedBy = ""
	}
	if item.State == punctual.StatePending {
		run.History = append(run.History, attempt(run, item, outcomeOf(item)))
	}
	ordered := run.Reason
	run.State = item.State
	if !item.Released {
		run.Error, run.Stack, run.Reason, run.Result = item.Error, item.Stack, item.Reason, item.Result
	}
	run.StartedAt, run.FinishedAt, run.DueAt = micros(item.StartedAt), finished, time.Time{}
	if item.State == punctual.StatePending {
		run.FinishedAt = time.Time{}
		if run.DueAt = micros(item.RetryAt); run.DueAt.IsZero() {
			run.DueAt = now
		}
		run.Reason, run.Stack = "", ""
		if item.Released {
			if run.Attempt--; run.Attempt == 0 {
				run.StartedAt, run.Instance = time.Time{}, ""
			}
		}
		endInstead(run, ordered, gone, finished)
	}
	run.CancelRequested = false
	return punctual.VerdictApplied, false
}

// TakeAway ends the attempt of a run whose instance is dead, as Leaser.Reclaim promises; gone says that the run's task does not exist any
// more.
func TakeAway(run *punctual.Run, gone bool, now time.Time) {
	lost := 0
	for _, a := range run.History {
		if a.Outcome == "lost" {
			lost++
		}
	}
	run.Session, run.DueAt, run.FinishedAt = "", time.Time{}, time.Time{}
	switch {
	case run.CancelRequested:
		run.State, run.FinishedAt = punctual.StateCanceled, now
	case run.AtMostOnce:
		run.State, run.Reason, run.FinishedAt = punctual.StateLost, punctual.ReasonLeaseLost, now
	case lost >= punctual.MaxLost:
		run.State, run.Reason, run.FinishedAt = punctual.StateFailed, punctual.ReasonLostTooMany, now
	default:
		run.History = append(run.History, punctual.Attempt{
			Number: run.Attempt, Instance: run.Instance, StartedAt: run.StartedAt, FinishedAt: now, Outcome: "lost",
		})
		run.State, run.DueAt = punctual.StatePending, now
		endInstead(run, "", gone, now)
	}
	run.CancelRequested = false
}

// endInstead ends a run that would become pending though it was ordered to be cancelled, or though its task is gone.
func endInstead(run *punctual.Run, ordered string, gone bool, at time.Time) {
	switch {
	case run.CancelRequested:
		run.State, run.Reason = punctual.StateCanceled, ordered
	case !gone:
		return
	case run.Attempt == 0:
		run.State, run.Reason = punctual.StateSkipped, punctual.ReasonRemoved
	default:
		run.State, run.Reason = punctual.StateFailed, punctual.ReasonRemoved
	}
	run.DueAt, run.FinishedAt = time.Time{}, at
}

// repeats reports whether this very outcome was recorded before.
func repeats(run *punctual.Run, item *punctual.Finish, finished time.Time) bool {
	if run.State == item.State && run.Attempt == item.Attempt && run.FinishedAt.Equal(finished) {
		return true
	}
	if item.State != punctual.StatePending {
		return false
	}
	outcome := outcomeOf(item)
	return slices.ContainsFunc(run.History, func(a punctual.Attempt) bool {
		return a.Number == item.Attempt && a.FinishedAt.Equal(finished) && a.Outcome == outcome
	})
}

// outcomeOf is what History says about an attempt that is not the last.
func outcomeOf(item *punctual.Finish) string {
	if item.Released {
		return "released"
	}
	return "failed"
}

// attempt is the entry of History about an outcome.
func attempt(run *punctual.Run, item *punctual.Finish, outcome string) punctual.Attempt {
	a := punctual.Attempt{
		Number: item.Attempt, StartedAt: micros(item.StartedAt), FinishedAt: micros(item.FinishedAt), Outcome: outcome, Error: item.Error,
	}
	if run.Attempt == item.Attempt {
		a.Instance = run.Instance
	}
	return a
}

// micros returns t as stores keep times: UTC, whole microseconds, no monotonic reading; the zero time stays zero.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}
