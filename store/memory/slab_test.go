package memory

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestSlabKeepsEachValueWhereItIs(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	var s slab[int]
	want := make(map[ref]int)
	places := make(map[ref]*int)
	var taken []ref
	for step := range 20_000 {
		if shrinks := step/4000%2 == 1; random.IntN(10) < 7 != shrinks || len(want) == 0 {
			n := s.take()
			require.NotZero(t, n)
			require.NotContains(t, want, n)
			require.Zero(t, *s.at(n))
			*s.at(n), want[n], places[n], taken = step, step, s.at(n), append(taken, n)
			continue
		}
		i := random.IntN(len(taken))
		n := taken[i]
		taken = slices.Delete(taken, i, i+1)
		require.Equal(t, want[n], *s.at(n))
		require.Same(t, places[n], s.at(n))
		s.give(n)
		delete(want, n)
	}
}

// What was large once should not take its space for ever.
func TestSlabGivesUpChunksThatAreEmpty(t *testing.T) {
	var s slab[int]
	chunks := func() (n int) {
		for _, c := range s.chunks {
			if c != nil {
				n++
			}
		}
		return n
	}
	for range 2 {
		var all []ref
		for range 10 * slabChunk {
			all = append(all, s.take())
		}
		require.Equal(t, 11, chunks(), "zero is nobody's")
		for _, n := range all[:4*slabChunk] {
			s.give(n)
		}
		require.Equal(t, 8, chunks(), "one has lost all but one, and the first stays")
		for range 3 * slabChunk {
			all = append(all, s.take())
		}
		require.Equal(t, 10, chunks())
		require.Len(t, s.chunks, 11)
		for _, n := range all[4*slabChunk:] {
			s.give(n)
		}
		require.Equal(t, 1, chunks())
	}
}

func TestSharedKeepsOneCopyForAsLongAsSomebodyHasIt(t *testing.T) {
	var s shared[string]
	hold := func(value string, likely ref) ref { return s.hold(&value, likely) }
	a, b := hold("a", 0), hold("b", 0)
	require.Equal(t, a, hold("a", 0), "which was not the last")
	require.Equal(t, a, hold("a", b))
	require.Equal(t, a, hold("a", a))
	require.Equal(t, "a", *s.at(a))
	for range 3 {
		s.release(a)
		require.Equal(t, "a", *s.at(a))
	}
	s.release(b)
	require.Len(t, s.refs, 1)
	s.release(a)
	require.Empty(t, s.refs)
	require.Equal(t, "c", *s.at(hold("c", 0)))
	require.Len(t, s.refs, 1)
}

// Ids of runs are ordered as texts, whether there is room for them in the row or not.
func TestIDsOfAnyLengthAreInOrder(t *testing.T) {
	texts := []string{"", "a", "a\x00", "ab", "b", "\xff"}
	for _, text := range slices.Clone(texts) {
		for _, n := range []int{runIDRoom - 2, runIDRoom - 1, runIDRoom, 300} {
			texts = append(texts, strings.Repeat("x", n)+text, strings.Repeat("\x00", n)+text)
		}
	}
	s := New()
	rowOf := func(text string) *row {
		id := seekID(text)
		r := &row{id: id.runID}
		if id.rest != "" {
			s.setSeldom(r, extra{rest: id.rest, until: noTime})
		}
		return r
	}
	for _, a := range texts {
		x := rowOf(a)
		require.Equal(t, a, s.idOf(x))
		for _, b := range texts {
			id := seekID(b)
			require.Equal(t, strings.Compare(a, b), s.compareRows(x, rowOf(b)), "%q, %q", a, b)
			require.Equal(t, strings.Compare(a, b), s.compareTo(x, &id), "%q, %q", a, b)
		}
	}
}

// inUse counts the values of a slab that are somebody's.
func inUse[T any](s *slab[T]) int {
	n := 0
	for _, chunk := range s.taken {
		for _, word := range chunk {
			n += bits.OnesCount64(word)
		}
	}
	return max(n-1, 0) // zero is nobody's
}

// What is removed gives back all that it had, or the store of a process that runs for years would grow.
func TestNothingStaysOfWhatIsRemoved(t *testing.T) {
	ctx, now := context.Background(), time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)
	s := New(WithHistory(5))
	edit := func(id string, c punctual.Change) {
		_, err := s.Edit(ctx, punctual.EditRequest{TaskID: id, Now: now, Decide: func(punctual.View) (punctual.Change, error) { return c, nil }})
		require.NoError(t, err)
	}
	states := []punctual.State{punctual.StateRunning, punctual.StatePending, punctual.StateSucceeded, punctual.StateFailed, punctual.StateSkipped}
	for i := range 40 {
		c := punctual.Change{
			Task:   &punctual.Task{ID: fmt.Sprint("task", i), Kind: fmt.Sprint("kind", i%3), Schedule: punctual.Every(time.Hour), Revision: 1},
			Status: &punctual.Status{NextRunAt: now},
		}
		for j := range 40 {
			run := punctual.Run{
				ID: strings.Repeat("long", j%20) + fmt.Sprint("run", i, "-", j), TaskID: c.Task.ID, TaskName: fmt.Sprint("name", j%2), Trigger: punctual.Trigger(1 + j%5),
				ScheduledAt: now.Add(time.Duration(j*7%40) * time.Second), State: states[j%5], Count: 1, ConcurrencyKey: []string{"", "key"}[j%2],
				Session: fmt.Sprint("session", j%3), Instance: fmt.Sprint("instance", j%3), FinishedAt: now, Error: []string{"", "error"}[j/2%2],
			}
			c.Insert = append(c.Insert, run)
		}
		edit(c.Task.ID, c)
	}
	require.Positive(t, inUse(&s.rows))
	require.Positive(t, inUse(&s.extras))
	var items []punctual.Finish
	for i := range 40 {
		for j := range 20 {
			items = append(items, punctual.Finish{RunID: strings.Repeat("long", j) + fmt.Sprint("run", i, "-", j), State: punctual.StateSucceeded, Reason: "reason"})
		}
	}
	_, err := s.Finish(ctx, punctual.FinishRequest{Now: now, Items: items})
	require.NoError(t, err)
	_, err = s.Reclaim(ctx, punctual.ReclaimRequest{Now: now, Limit: 30})
	require.NoError(t, err)
	for i := range 20 {
		edit(fmt.Sprint("task", i), punctual.Change{Remove: true, KeepHistory: true})
		edit(fmt.Sprint("task", 20+i), punctual.Change{Remove: true})
	}
	require.Equal(t, 20, inUse(&s.tasks.slab), "ghosts")
	for more := true; more; {
		reply, err := s.Reclaim(ctx, punctual.ReclaimRequest{Now: now, Limit: 30})
		require.NoError(t, err)
		more = reply.More
	}
	runs, err := s.Runs(ctx, punctual.RunQuery{States: []punctual.State{punctual.StatePending}, Limit: punctual.MaxLimit})
	require.NoError(t, err)
	for _, run := range runs {
		run.State, run.FinishedAt = punctual.StateCanceled, now
		edit(run.TaskID, punctual.Change{Update: []punctual.Run{run}})
	}
	_, err = s.Trim(ctx, punctual.TrimRequest{Before: now.Add(time.Hour), Limit: 1_000_000})
	require.NoError(t, err)
	require.Zero(t, inUse(&s.rows))
	require.Zero(t, inUse(&s.extras))
	require.Zero(t, inUse(&s.traits.values))
	require.Zero(t, inUse(&s.owners))
	require.Zero(t, inUse(&s.policies.values))
	require.Zero(t, inUse(&s.tasks.slab))
	require.Zero(t, inUse(&s.agenda.entries))
	require.True(t, s.ledger.empty())
	require.True(t, s.ended.empty())
	require.Empty(t, s.traits.refs)
	require.Empty(t, s.sessions)
	require.Empty(t, s.keys)
	require.False(t, slices.ContainsFunc(s.flying.places, func(n ref) bool { return n != 0 }))
}
