package punctual

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// oneOf returns one of some values.
func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// anyDue makes what a claim may show to decide, mostly something usual.
func anyDue(r *rand.Rand) View {
	return dueView(t0.Add(oneOf(r, 59*time.Second, time.Minute, time.Minute, 61*time.Second, 63*time.Second, time.Hour)), func(task *Task, v *View) {
		seldom := func(change func()) {
			if r.IntN(20) == 0 {
				change()
			}
		}
		task.Schedule = oneOf[Schedule](r, Every(time.Minute), Every(time.Minute), Every(time.Hour).Aligned(), Once(t0.Add(time.Minute)), Daily("10:01", time.UTC))
		task.Name, task.Kind, task.Lost, task.Revision = oneOf(r, "", "name"), oneOf(r, "", "kind", "kind", "other"), oneOf(r, LostRunAgain, LostMark), r.Int64N(3)+1
		task.Overlap, task.MaxActive = oneOf(r, OverlapSkip, OverlapSkip, OverlapQueue, OverlapReplace, OverlapAllow), oneOf(r, 0, 0, 1, 2)
		task.Misfire, task.MisfireGrace = oneOf(r, MisfireRunOnce, MisfireRunAll, MisfireSkip), oneOf(r, 0, 0, 10*time.Second)
		st := &v.Record.Status
		st.LastOccurrence = oneOf(r, time.Time{}, t0)
		st.Skipping = oneOf(r, Skipping{}, Skipping{RunID: "open", Reason: ReasonOverlap, BlockedBy: "busy", Count: 3})
		v.Slots = r.IntN(4)
		seldom(func() { task.Disabled = true })
		seldom(func() { st.Paused = true })
		seldom(func() { st.Delay = time.Minute })
		seldom(func() { st.NextRunAt = time.Time{} })
		seldom(func() { v.Active, v.OldestActive = 1, "busy" })
		seldom(func() {
			v.Waiting, v.Waiter = 1, &Run{ID: "waiter", TaskID: "t", Trigger: TriggerManual, State: StatePending, Count: 1}
		})
		seldom(func() { v.KeyWaiting = 1 })
		seldom(func() { task.ConcurrencyKey, v.KeyActive = "key", r.IntN(2) })
		seldom(func() {
			v.Pending = []Run{{ID: "pending", TaskID: "t", Trigger: oneOf(r, TriggerManual, TriggerCatchUp), State: StatePending, DueAt: t0, Count: 1}}
		})
	})
}

// stuckSchedule does not get on.
type stuckSchedule struct{}

func (stuckSchedule) Next(after time.Time) time.Time { return after }
func (stuckSchedule) String() string                 { return "stuck" }

// The short way says what the long one says, whatever it is shown.
func TestTheShortWayToADecisionComesToTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	handles := func(kind string) bool { return kind != "other" }
	usual := 0
	const views = 20_000
	for range views {
		v := anyDue(r)
		short, long, tried := testRules(), testRules(), testRules()
		short.handles, long.handles, tried.handles = handles, handles, handles
		got, err := decideDue(short, &v, new(room))
		want, wantErr := long.decideAnyDue(&v, new(room))
		require.Equal(t, wantErr, err)
		require.Equal(t, want, got, "%+v", v)
		if tried.decideUsual(&v, new(room), new(Change)) {
			usual++
		}
	}
	assert.Greater(t, usual, views/10)
	assert.Less(t, usual, views/2)
}

// What the long way finds wrong is left to it.
func TestAScheduleThatDoesNotGetOnIsNotUsual(t *testing.T) {
	v := dueView(t0.Add(time.Minute), func(task *Task, _ *View) { task.Schedule = stuckSchedule{} })
	_, err := decideDue(testRules(), &v, new(room))
	assert.ErrorContains(t, err, "not increasing")
}

// Room that was used before leaves nothing in the next answer.
func TestAUsualDecisionHasNothingOfTheOneBefore(t *testing.T) {
	used := &room{}
	v := dueView(t0.Add(time.Minute), func(task *Task, v *View) { v.Active, v.OldestActive, v.Record.Status.Paused = 1, "busy", false })
	_, err := decideDue(testRules(), &v, used)
	require.NoError(t, err)
	used.run[0].Error, used.status.Paused = "before", true
	v = dueView(t0.Add(time.Minute), nil)
	got, err := decideDue(testRules(), &v, used)
	require.NoError(t, err)
	want, err := decideDue(testRules(), &v, new(room))
	require.NoError(t, err)
	assert.Equal(t, want, got)
}
