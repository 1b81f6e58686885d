package ledger

import "github.com/punctual-go/punctual"

// What most occurrences do to a ledger touches few columns, and stores have statements of their own for that. These say whether they suffice.

// OnlyMoves reports whether a task without fault gets a status that differs from its own by the occurrences alone.
func OnlyMoves(was *punctual.Record, st *punctual.Status) bool {
	if was == nil || was.Fault != "" {
		return false
	}
	moved := was.Status
	moved.NextRunAt, moved.LastOccurrence = st.NextRunAt, st.LastOccurrence
	return moved == *st
}

// Begins reports whether a new run is running and says nothing of its result, a past, a wait or an order to be cancelled.
func Begins(r *punctual.Run) bool {
	return r.State == punctual.StateRunning && r.Count <= 1 && r.Until.IsZero() && r.DueAt.IsZero() && r.FinishedAt.IsZero() &&
		r.Result.Output == "" && len(r.Result.Facts) == 0 && r.Error == "" && r.Stack == "" && r.Reason == "" && r.BlockedBy == "" &&
		!r.CancelRequested && !r.WaitsForKey && len(r.History) == 0
}
