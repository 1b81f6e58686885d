package punctual

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A store whose transaction is tried again asks again, in any order and maybe about other tasks. The last answer about a task is the one that counts.
func TestTheLastDecisionAboutATaskCounts(t *testing.T) {
	const tasks = 700
	s, err := New(struct{ Store }{}, ExecutorFunc(nil), WithConcurrency(2*tasks))
	require.NoError(t, err)
	s.phase = phaseRunning
	made := s.newClaiming()
	id := func(i int) string { return fmt.Sprint("task", i) }
	decide := func(i int, trace string) *Run {
		v := dueView(t0.Add(1), func(task *Task, v *View) {
			task.ID, task.Trace = id(i), trace
			v.Record.Status.NextRunAt, v.Slots = t0, tasks
		})
		c, err := made.decideIt(v)
		require.NoError(t, err)
		require.Len(t, c.Insert, 1)
		return &c.Insert[0]
	}
	for claim := range 2 {
		op, ok := s.beginClaim(tasks)
		require.True(t, ok)
		made.begin(op)
		for i := range tasks {
			decide(i, "first")
		}
		for i := tasks - 1; i >= 0; i -= 2 {
			decide(i, "second")
		}
		assert.Equal(t, tasks, made.starts, "claim %d: what was decided twice counts once", claim)
		require.Len(t, made.decisions, tasks)
		for i := range tasks {
			want := "first"
			if i%2 == (tasks-1)%2 {
				want = "second"
			}
			d := made.of(id(i))
			assert.Equal(t, id(i), d.taskID)
			assert.Equal(t, want, d.conduct.trace)
		}
		assert.Equal(t, id(3), made.of(id(3)).taskID, "also out of turn")
		made.forget(id(4))
		made.forget("unknown")
		assert.Equal(t, tasks-1, made.starts)
		assert.Zero(t, made.of(id(4)).change)
		made.clear()
		s.endOp(&made.op, nil)
		assert.Zero(t, made.starts)
	}
	assert.Zero(t, s.reserve)
	op, ok := s.beginClaim(tasks)
	require.True(t, ok)
	assert.Equal(t, tasks, s.asked)
	s.endOp(&op, nil)
	assert.Zero(t, s.asked, "of a claim that has found nothing, too")
}
