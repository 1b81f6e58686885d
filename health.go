package punctual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

// Health is the state of one instance in a few figures.
type Health struct {
	// OK is false when something needs attention. Reasons then says what: each begins with one of the Degraded constants, followed by
	// a colon and details for people.
	OK      bool     `json:"ok"`
	Reasons []string `json:"reasons,omitempty"`
	// Phase is "new", "running", "draining" or "closed".
	Phase    string `json:"phase"`
	Instance string `json:"instance"`
	InFlight int    `json:"in_flight"` // attempts started here whose outcome is not stored yet
	Running  int    `json:"running"`   // those of them that are in host code
	SetAside int    `json:"set_aside"` // tasks that this instance set aside since it started
	// Unhandled are the kinds of which something has been due for longer than a minute and that no live instance handles, when this
	// instance looked last, which it does twice a minute. Only instances that do not handle all kinds look.
	Unhandled []Overdue `json:"unhandled,omitempty"`
	// Backlog is for how long the earliest due work that this instance knows of has been waiting to start, for want of a slot, a lease
	// or a store that works; zero when nothing waits.
	Backlog time.Duration `json:"backlog"`
	// ClockOffset is how far the store's clock was ahead of this instance's at the last beat. Due times are the store's, so an
	// offset moves nothing but log times.
	ClockOffset time.Duration `json:"clock_offset"`
}

// What a reason of Health begins with.
const (
	DegradedStore    = "store failing"   // the last call to the store failed; due runs wait until it works again
	DegradedLease    = "no lease"        // nothing starts here until the store renews the lease
	DegradedBacklog  = "backlog"         // something is due for longer than a minute and has not started
	DegradedClock    = "clock off"       // this instance's clock and the store's are more than 5 s apart
	DegradedSetAside = "tasks set aside" // so many tasks could not be decided; their snapshots say why
	DegradedHandler  = "no handler"      // something of these kinds is due for longer than a minute, and no live instance handles them
)

var phaseNames = [...]string{"new", "running", "draining", "closed"}

// backlogBound is how late the next due time may be before Health reports it.
const backlogBound = time.Minute

// clockBound is how far this instance's clock and the store's may be apart before Health reports it.
const clockBound = 5 * time.Second

// judgeEvery is how often the loop looks whether Health has changed, at most. With the longest wait of the loop it is how late an event may come.
const judgeEvery = 10 * time.Second

// judge tells of each reason that Health has anew or no more. The loop calls it before it sleeps: a standstill that nobody hears of is the worst
// of failures, and Health speaks only when asked.
func (s *Scheduler) judge() {
	now := s.clock.Now()
	if since := now.Sub(s.judged); 0 <= since && since < judgeEvery {
		return
	}
	s.judged = now
	reasons := make(map[string]string)
	for _, reason := range s.Health().Reasons {
		name, _, _ := strings.Cut(reason, ":")
		reasons[name] = reason
	}
	if maps.Equal(reasons, s.degraded) {
		return
	}
	before := s.degraded
	s.degraded = reasons
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		if _, known := before[name]; !known {
			s.log(context.Background(), slog.LevelWarn, "instance needs attention", slog.String("reason", reasons[name]))
			s.emitReason(EventDegraded, name, errors.New(reasons[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, still := reasons[name]; !still {
			s.log(context.Background(), slog.LevelInfo, "instance needs no attention any more", slog.String("reason", name))
			s.emitReason(EventRecovered, name, nil)
		}
	}
}

// Health reports how this instance is. It does not ask the store.
func (s *Scheduler) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	h := Health{
		Phase: phaseNames[s.phase], Instance: s.instance, InFlight: s.flights.count, Running: s.busy, SetAside: len(s.faults),
		ClockOffset: s.told.ahead(now).Round(time.Millisecond),
	}
	if s.failing.err != nil {
		h.Reasons = append(h.Reasons, fmt.Sprintf("%s: since %s: %s", DegradedStore, s.failing.since.UTC().Format(time.RFC3339), errorText(s.failing.err)))
	}
	if s.phase == phaseRunning && !s.leaseHeldLocked(s.clock.Now()) {
		h.Reasons = append(h.Reasons, DegradedLease+": nothing starts until the store renews it")
	}
	if late := now.Sub(s.loop.next); s.phase == phaseRunning && !s.loop.next.IsZero() && late > 0 {
		h.Backlog = late
	}
	if late := h.Backlog; late > backlogBound {
		h.Reasons = append(h.Reasons, fmt.Sprintf("%s: due since %s", DegradedBacklog, late.Round(time.Second)))
	}
	if h.ClockOffset.Abs() > clockBound {
		h.Reasons = append(h.Reasons, fmt.Sprintf("%s: the store's is %v ahead", DegradedClock, h.ClockOffset.Round(time.Second)))
	}
	if n := len(s.faults); n > 0 {
		h.Reasons = append(h.Reasons, fmt.Sprintf("%s: %d", DegradedSetAside, n))
	}
	if len(s.overdue) > 0 && s.phase == phaseRunning {
		h.Unhandled = slices.Clone(s.overdue)
		h.Reasons = append(h.Reasons, DegradedHandler+": "+unhandledText(s.overdue))
	}
	h.OK = len(h.Reasons) == 0
	return h
}
