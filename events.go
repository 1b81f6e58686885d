package punctual

import (
	"context"
	"log/slog"
	"time"
)

// EventType says what happened.
type EventType uint8

// The events. For one run they arrive in the order registered, claimed, started, retried, claimed, ..., finished.
const (
	EventRegistered   EventType = iota + 1 // a task was added, ensured anew or rescheduled; Run is the immediate run, if any
	EventRemoved                           // a task was removed
	EventPaused                            // a task was paused
	EventResumed                           // a task was resumed
	EventClaimed                           // an attempt is this instance's to work on; started or released follows
	EventStarted                           // an attempt is about to enter host code
	EventRetried                           // an attempt failed and another will follow at Run.DueAt
	EventReleased                          // an attempt was handed back before host code began
	EventFinished                          // a run reached its final state and the store has it
	EventSkipped                           // a run was skipped; Run.Reason and Run.BlockedBy say why
	EventMissed                            // a range of occurrences was missed
	EventLost                              // an attempt was taken away from a dead instance
	EventStale                             // a result came after its attempt was taken over and changed nothing
	EventSetAside                          // a task cannot be decided and was set aside; Err says why
	EventStoreFailing                      // a store call failed; Err says how. Sent once until the store works again
	EventStoreWorking                      // the store works again
	EventDegraded                          // Health has a reason that it did not have; Reason is what it begins with, and Err says it whole
	EventRecovered                         // Health does not have Reason any more
)

var eventNames = [...]string{
	"", "registered", "removed", "paused", "resumed", "claimed", "started", "retried", "released", "finished", "skipped", "missed", "lost",
	"stale", "set aside", "store failing", "store working", "degraded", "recovered",
}

// String returns the event's name.
func (t EventType) String() string { return enumName("event", eventNames[:], int(t)) }

// Event is one thing that happened.
type Event struct {
	Type     EventType
	At       time.Time // by the Scheduler's clock
	Instance string
	TaskID   string
	Run      Run   // the run as it is now, without payload; zero for events without one
	Err      error // for EventSetAside, EventStoreFailing and EventDegraded
	// Reason is one of the Degraded constants, for EventDegraded and EventRecovered.
	Reason string
	// Count is how many occurrences this event adds to the ledger: for EventSkipped and EventMissed at least one. Run.Count is how many
	// the row stands for by now, earlier events included. Zero for all other events.
	Count int64
}

// Observer is told about each event of one Scheduler: for metrics, traces and audit. Observe is called synchronously, with no lock
// held, from many goroutines. Events of one run arrive in the order in which this instance learns of them, so that what a lost answer of
// the store hid for a while comes late. Observe must return soon, since the engine waits for it, and a panic is not recovered. One that is
// a StoreObserver, too, is told about each call to the store.
type Observer interface {
	Observe(Event)
}

// ObserverFunc makes a function an Observer.
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// emit tells the observer of an event, with a copy of the run; nil for none.
func (s *Scheduler) emit(t EventType, taskID string, run *Run, err error) {
	if s.observer == nil {
		return
	}
	s.tell(Event{Type: t, TaskID: taskID, Err: err}, run)
}

// emitRange is emit for an event that adds occurrences to the ledger.
func (s *Scheduler) emitRange(t EventType, run *Run, count int64) {
	if s.observer == nil {
		return
	}
	s.tell(Event{Type: t, TaskID: run.TaskID, Count: max(count, 1)}, run)
}

// emitReason is emit for a reason of Health that came or went.
func (s *Scheduler) emitReason(t EventType, reason string, err error) {
	if s.observer == nil {
		return
	}
	s.tell(Event{Type: t, Reason: reason, Err: err}, nil)
}

func (s *Scheduler) tell(e Event, run *Run) {
	e.At, e.Instance = s.clock.Now(), s.instance
	if run != nil {
		e.Run = *run
		e.Run.Payload, e.Run.Labels = nil, nil
	}
	s.observer.Observe(e)
}

// log writes a record whose time comes from the Scheduler's clock.
func (s *Scheduler) log(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	if !s.logger.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(s.clock.Now(), level, msg, 0)
	record.AddAttrs(slog.String("instance", s.instance))
	record.AddAttrs(attrs...)
	_ = s.logger.Handler().Handle(ctx, record) // a log that cannot be written has nowhere to be reported
}

func taskAttr(id string) slog.Attr { return slog.String("task_id", id) }

func runAttrs(run *Run) []slog.Attr {
	return []slog.Attr{
		taskAttr(run.TaskID), slog.String("task_name", run.TaskName), slog.String("run_id", run.ID),
		slog.String("trigger", run.Trigger.String()), slog.Int("attempt", run.Attempt),
	}
}

func errorAttr(err error) slog.Attr { return slog.String("error", errorText(err)) }

// announce logs and emits what a committed change did to runs that do not start.
func (s *Scheduler) announce(c *Change) {
	for n, rows := range [][]Run{c.Insert, c.Update} {
		for i := range rows {
			added := rows[i].Count
			if n == 1 {
				added = 1 // the open row of skips grows by one each time
			}
			switch run := &rows[i]; run.State {
			case StateSkipped:
				s.log(context.Background(), slog.LevelInfo, "run skipped", append(runAttrs(run),
					slog.String("reason", run.Reason), slog.String("blocked_by", run.BlockedBy))...)
				s.emitRange(EventSkipped, run, added)
			case StateMissed:
				s.log(context.Background(), slog.LevelWarn, "occurrences missed", append(runAttrs(run),
					slog.Time("from", run.ScheduledAt), slog.Int64("count", run.Count))...)
				s.emitRange(EventMissed, run, added)
			case StateCanceled, StateFailed:
				s.log(context.Background(), slog.LevelInfo, "run ended", append(runAttrs(run),
					slog.String("state", run.State.String()), slog.String("reason", run.Reason))...)
				s.emit(EventFinished, run.TaskID, run, nil)
			}
		}
	}
}
