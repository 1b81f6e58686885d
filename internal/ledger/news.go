package ledger

import "github.com/punctual-go/punctual"

// News reports whether another instance may have something to do after a change: something is due now or later, or a run is to be
// cancelled.
func News(c *punctual.Change) bool {
	if c.Status != nil && !c.Status.NextRunAt.IsZero() || len(c.Cancel) > 0 {
		return true
	}
	for _, rows := range [][]punctual.Run{c.Insert, c.Update} {
		for i := range rows {
			if rows[i].State == punctual.StatePending {
				return true
			}
		}
	}
	return false
}
