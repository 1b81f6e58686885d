package web

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// Bounds of what is read of the ledger to draw it.
const (
	historyWindow  = 7 * 24 * time.Hour // how far back the charts reach
	maxFacts       = 10_000             // runs that are kept
	factsPage      = 500                // runs that are read at a time: each may carry an output
	historyBudget  = 2 * time.Second    // for reading all of it; what is left out then is said
	historyRenewal = 5 * time.Minute    // when it is read anew: trimmed and removed rows go
	maxLive        = 1000               // live runs that are looked at
	maxSettled     = 200                // runs that have ended since the last look and are asked for one by one
)

// fact is what charts need of a run.
type fact struct {
	ID, TaskID, TaskName, Instance string
	State                          punctual.State
	Trigger                        punctual.Trigger
	Scheduled, Until               time.Time
	Due                            time.Time // when a pending run may start
	Began                          time.Time // the first attempt
	Finished                       time.Time
	Count                          int64
	Reason                         string
}

func factOf(r *punctual.Run) fact {
	f := fact{
		ID: r.ID, TaskID: r.TaskID, TaskName: r.TaskName, Instance: r.Instance, State: r.State, Trigger: r.Trigger,
		Scheduled: r.ScheduledAt, Until: r.Until, Due: r.DueAt, Began: r.StartedAt, Finished: r.FinishedAt, Count: r.Count, Reason: r.Reason,
	}
	for _, a := range r.History {
		if !a.StartedAt.IsZero() && a.StartedAt.Before(f.Began) {
			f.Began = a.StartedAt
		}
	}
	return f
}

// at is the time that a chart shows the run at.
func (f *fact) at() time.Time { return latest(f.Finished, f.Began, f.Scheduled) }

// lateness is how long after its nominal instant the first attempt began; false when none did.
func (f *fact) lateness() (time.Duration, bool) {
	return f.Began.Sub(f.Scheduled), !f.Began.IsZero() && f.Trigger != punctual.TriggerBackfill && f.Trigger != punctual.TriggerCatchUp
}

// history is the recent part of the ledger, newest id first.
type history struct {
	facts     []fact
	live      int  // pending and running runs
	liveCut   bool // there are more than maxLive
	since     time.Time
	cut       bool // a bound left out runs between since and the beginning of the window
	loadedAt  time.Time
	knownLive []string
}

// history keeps the recent part of the ledger and reads only what is new: the newest page, what is live, and what was live before.
func (d *dashboard) history(ctx context.Context) (history, error) {
	return d.histories.get(ctx, "", func(ctx context.Context, last history) (history, error) {
		now := d.clock.Now()
		if last.loadedAt.IsZero() || now.Sub(last.loadedAt) > historyRenewal || len(last.facts) == 0 {
			return d.wholeHistory(ctx, now)
		}
		found, ok, err := d.newerHistory(ctx, last)
		if err != nil || !ok {
			return d.wholeHistory(ctx, now)
		}
		return found, nil
	})
}

func (d *dashboard) wholeHistory(ctx context.Context, now time.Time) (history, error) {
	h := history{loadedAt: now, since: now.Add(-historyWindow)}
	q := punctual.RunQuery{Since: h.since, Limit: factsPage}
	for {
		page, err := d.s.Runs(ctx, q)
		if err != nil {
			return history{}, err
		}
		for i := range page {
			h.facts = append(h.facts, factOf(&page[i]))
		}
		if len(page) < factsPage {
			break
		}
		q.Before = page[len(page)-1].ID
		if len(h.facts) >= maxFacts || d.clock.Now().Sub(now) > historyBudget {
			h.cut, h.since = true, page[len(page)-1].CreatedAt
			break
		}
	}
	return h, d.lookAtLive(ctx, &h)
}

// newerHistory adds to a copy of the last history what has happened since; false when too much has.
func (d *dashboard) newerHistory(ctx context.Context, last history) (history, bool, error) {
	h := last
	h.facts = nil
	newest := last.facts[0].ID
	q := punctual.RunQuery{Limit: factsPage / 5}
	for pages := 0; ; pages++ {
		page, err := d.s.Runs(ctx, q)
		if err != nil || pages > maxFacts/factsPage {
			return history{}, false, err
		}
		for i := range page {
			h.facts = append(h.facts, factOf(&page[i]))
		}
		if len(page) < q.Limit || page[len(page)-1].ID <= newest {
			break
		}
		q.Before = page[len(page)-1].ID
	}
	if len(h.facts) == 0 {
		return history{}, false, nil
	}
	oldest := h.facts[len(h.facts)-1].ID
	from, _ := slices.BinarySearchFunc(last.facts, oldest, byNewest)
	for from < len(last.facts) && last.facts[from].ID >= oldest {
		from++
	}
	h.facts = append(h.facts, last.facts[from:]...)
	if len(h.facts) > maxFacts+factsPage {
		h.facts = h.facts[:maxFacts]
		h.cut, h.since = true, h.facts[maxFacts-1].Scheduled
	}
	if err := d.lookAtLive(ctx, &h); err != nil {
		return history{}, false, err
	}
	return h, d.settle(ctx, &h, last.knownLive), nil
}

func byNewest(f fact, id string) int { return strings.Compare(id, f.ID) }

// lookAtLive brings the live runs up to date.
func (d *dashboard) lookAtLive(ctx context.Context, h *history) error {
	live, err := d.s.Runs(ctx, punctual.RunQuery{States: []punctual.State{punctual.StatePending, punctual.StateRunning}, Limit: maxLive})
	if err != nil {
		return err
	}
	h.live, h.liveCut, h.knownLive = len(live), len(live) == maxLive, nil
	for i := range live {
		h.put(factOf(&live[i]))
		h.knownLive = append(h.knownLive, live[i].ID)
	}
	return nil
}

// put replaces a fact or inserts it.
func (h *history) put(f fact) {
	i, there := slices.BinarySearchFunc(h.facts, f.ID, byNewest)
	if there {
		h.facts[i] = f
		return
	}
	h.facts = slices.Insert(h.facts, i, f)
}

// settle asks what became of the runs that were live at the last look and are no more; false when they are too many.
func (d *dashboard) settle(ctx context.Context, h *history, before []string) bool {
	asked := 0
	for _, id := range before {
		i, there := slices.BinarySearchFunc(h.facts, id, byNewest)
		if !there || h.facts[i].State.Final() || slices.Contains(h.knownLive, id) {
			continue
		}
		if asked++; asked > maxSettled {
			return false
		}
		switch run, err := d.s.Run(ctx, id); {
		case err == nil:
			h.facts[i] = factOf(&run)
		case errors.Is(err, punctual.ErrRunNotFound):
			h.facts = slices.Delete(h.facts, i, i+1)
		default:
			return false
		}
	}
	return true
}

// between returns the facts that lie in a range of time by at, newest id first.
func (h *history) between(from, to time.Time) []*fact {
	var found []*fact
	for i := range h.facts {
		if at := h.facts[i].at(); !at.Before(from) && at.Before(to) {
			found = append(found, &h.facts[i])
		}
	}
	return found
}

// in returns the newest n runs in one of the states.
func (h *history) in(n int, states ...punctual.State) []*fact {
	var found []*fact
	for i := range h.facts {
		if len(found) == n {
			break
		}
		if len(states) == 0 || slices.Contains(states, h.facts[i].State) {
			found = append(found, &h.facts[i])
		}
	}
	return found
}

// count counts the runs in one of the states.
func (h *history) count(states ...punctual.State) int {
	n := 0
	for i := range h.facts {
		n += btoi(slices.Contains(states, h.facts[i].State))
	}
	return n
}
