package ledger_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func TestOnlyMovesMeansTheOccurrencesAndNothingElse(t *testing.T) {
	was := punctual.Record{Status: punctual.Status{Anchor: noon, NextRunAt: noon}}
	moved := punctual.Status{Anchor: noon, NextRunAt: noon.Add(time.Hour), LastOccurrence: noon}
	assert.True(t, ledger.OnlyMoves(&was, &moved))
	assert.False(t, ledger.OnlyMoves(nil, &moved))
	for name, other := range map[string]func(*punctual.Record, *punctual.Status){
		"fault":    func(r *punctual.Record, _ *punctual.Status) { r.Fault = "unreadable" },
		"paused":   func(_ *punctual.Record, s *punctual.Status) { s.Paused = true },
		"anchor":   func(_ *punctual.Record, s *punctual.Status) { s.Anchor = noon.Add(1) },
		"delay":    func(_ *punctual.Record, s *punctual.Status) { s.Delay = 1 },
		"skipping": func(_ *punctual.Record, s *punctual.Status) { s.Skipping.Count = 1 },
	} {
		r, s := was, moved
		other(&r, &s)
		assert.False(t, ledger.OnlyMoves(&r, &s), name)
	}
}

func TestBeginsMeansARunWithoutPast(t *testing.T) {
	run := punctual.Run{
		ID: "r", TaskID: "t", TaskName: "t", Trigger: punctual.TriggerSchedule, ScheduledAt: noon, Count: 1, Attempt: 1, State: punctual.StateRunning,
		StartedAt: noon, CreatedAt: noon, Instance: "i", Session: "s", Revision: 1, AtMostOnce: true, ConcurrencyKey: "k",
	}
	assert.True(t, ledger.Begins(&run))
	for name, other := range map[string]func(*punctual.Run){
		"state":    func(r *punctual.Run) { r.State = punctual.StatePending },
		"count":    func(r *punctual.Run) { r.Count = 2 },
		"until":    func(r *punctual.Run) { r.Until = noon },
		"due":      func(r *punctual.Run) { r.DueAt = noon },
		"finished": func(r *punctual.Run) { r.FinishedAt = noon },
		"output":   func(r *punctual.Run) { r.Result.Output = "o" },
		"facts":    func(r *punctual.Run) { r.Result.Facts = json.RawMessage("{}") },
		"error":    func(r *punctual.Run) { r.Error = "e" },
		"stack":    func(r *punctual.Run) { r.Stack = "s" },
		"reason":   func(r *punctual.Run) { r.Reason = "r" },
		"blocker":  func(r *punctual.Run) { r.BlockedBy = "b" },
		"order":    func(r *punctual.Run) { r.CancelRequested = true },
		"key wait": func(r *punctual.Run) { r.WaitsForKey = true },
		"history":  func(r *punctual.Run) { r.History = []punctual.Attempt{{}} },
	} {
		r := run
		other(&r)
		assert.False(t, ledger.Begins(&r), name)
	}
}
