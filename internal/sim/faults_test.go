package sim

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// Faults that a cluster has to live with, each on every store. The checker then looks at the whole ledger.

// lostPolicies plays a scenario with a task that runs again what was lost, and with one that does not.
func lostPolicies(t *testing.T, scenario func(t *testing.T, w *World, task punctual.Task)) {
	for _, lost := range []punctual.Lost{punctual.LostRunAgain, punctual.LostMark} {
		t.Run(lost.String(), func(t *testing.T) {
			onEachStore(t, func(t *testing.T, w *World) {
				task := hourly("t")
				task.Lost = lost
				scenario(t, w, task)
			})
		})
	}
}

func TestARunOfAKilledInstanceIsTakenOverWhenItsLeaseLapses(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(5 * time.Second))
		a := w.Start("a")
		w.after(time.Second)
		b := w.Start("b")
		task := punctual.Task{ID: "t", Schedule: punctual.Every(30 * time.Second)}
		require.NoError(t, a.Add(task))
		time.Sleep(100 * time.Millisecond)
		require.Len(t, w.tries("t"), 1)
		a.Kill()
		w.after(40 * time.Second)
		tries := w.tries("t")
		require.Len(t, tries, 3)
		assert.Equal(t, []any{b, 2}, []any{tries[1].Process, tries[1].Run.Attempt})
		late := tries[1].Begun.Sub(w.lastBeat(tries[0]))
		assert.GreaterOrEqual(t, late, Lease)
		assert.LessOrEqual(t, late, Lease+6*time.Second)
		assert.Equal(t, []string{"register +1s succeeded in attempt 2", "schedule +31s succeeded"}, w.facts(t, "t"))
	})
}

func TestAnInstanceIsKilledBetweenItsClaimAndTheStartOfHostCode(t *testing.T) {
	lostPolicies(t, func(t *testing.T, w *World, task punctual.Task) {
		w.spoiled("a", broken{claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			reply, err := b.shared.Claim(ctx, req)
			if len(reply.Started) > 0 {
				b.process.Kill()
			}
			return reply, err
		}})
		a := w.Make("a", Setup{})
		require.NoError(t, a.Add(task))
		a.Begin()
		w.after(time.Second)
		w.Start("b")
		w.after(time.Minute)
		if task.Lost == punctual.LostMark {
			assert.Empty(t, w.tries("t"))
			assert.Equal(t, []string{"register +0s lost lease lost"}, w.facts(t, "t"))
			return
		}
		assert.Len(t, w.tries("t"), 1)
		assert.Equal(t, []string{"register +0s succeeded in attempt 2"}, w.facts(t, "t"))
	})
}

func TestAnInstanceIsKilledBetweenTheEndOfHostCodeAndItsResult(t *testing.T) {
	lostPolicies(t, func(t *testing.T, w *World, task punctual.Task) {
		w.spoiled("a", broken{finish: func(b *broken, _ context.Context, _ punctual.FinishRequest) (punctual.FinishReply, error) {
			b.process.Kill()
			return punctual.FinishReply{}, errDead
		}})
		a := w.Make("a", Setup{})
		require.NoError(t, a.Add(task)) // before the run can end, and with it the instance
		a.Begin()
		w.after(time.Second)
		w.Start("b")
		w.after(time.Minute)
		tries := w.tries("t")
		if task.Lost == punctual.LostMark {
			assert.Len(t, tries, 1)
			assert.Equal(t, []string{"register +0s lost lease lost"}, w.facts(t, "t"))
			return
		}
		require.Len(t, tries, 2)
		assert.Equal(t, tries[0].Run.ID, tries[1].Run.ID, "an executor that knows the id can tell")
		assert.Equal(t, 2, tries[1].Run.Attempt)
		assert.Equal(t, []string{"register +0s succeeded in attempt 2"}, w.facts(t, "t"))
	})
}

func TestAnInstanceThatIsCutOffStopsBeforeAnotherStarts(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(time.Minute))
		a := w.Start("a")
		w.after(time.Second)
		require.NoError(t, a.Add(hourly("t")))
		b := w.Start("b")
		w.after(7 * time.Second)
		a.Cut()
		w.after(47 * time.Second)
		a.Heal()
		w.after(3 * time.Minute)
		tries := w.tries("t")
		require.Len(t, tries, 2)
		require.ErrorIs(t, tries[0].Cause, punctual.ErrLeaseLost)
		good := w.lastBeat(tries[0])
		assert.LessOrEqual(t, tries[0].CancelledAt.Sub(good), Lease-margin+10*time.Millisecond)
		assert.GreaterOrEqual(t, tries[1].Begun.Sub(good), Lease)
		assert.Equal(t, b, tries[1].Process)
		row := w.rows(t, "t")[0]
		assert.Equal(t, []any{punctual.StateSucceeded, 2, tries[1].Output}, []any{row.State, row.Attempt, row.Result.Output})
		assert.Equal(t, "stale", row.History[len(row.History)-1].Outcome)
	})
}

// The wait after a beat whose look for strays had failed was longer than the lease, for which the simulation found two attempts at once.
func TestAFailingCallBesideTheBeatDoesNotKeepAnInstanceFromNoticingThatItIsCutOff(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.spoiled("a", broken{held: func(*broken, context.Context, string) ([]punctual.Run, error) { return nil, errReset }})
		a := w.Start("a")
		w.Plan(takes(2 * time.Minute))
		require.NoError(t, a.Add(hourly("t")))
		w.after(30 * time.Second)
		a.Cut()
		w.after(time.Minute)
		e := w.tries("t")[0]
		require.ErrorIs(t, e.Cause, punctual.ErrLeaseLost)
		assert.Equal(t, Lease-margin, e.CancelledAt.Sub(w.lastBeat(e)).Round(10*time.Millisecond))
		w.Start("b")
	})
}

func TestAShortPartitionCostsNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		const runs = 100
		w.Plan(takes(8 * time.Second))
		a := w.Start("a", punctual.WithConcurrency(runs))
		w.Start("b")
		w.after(time.Second)
		for i := range runs {
			require.NoError(t, a.Add(hourly(fmt.Sprintf("t%d", i))))
		}
		w.after(7 * time.Second)
		a.Cut()
		w.after(15 * time.Second)
		a.Heal()
		w.after(30 * time.Second)
		for i := range runs {
			id := fmt.Sprintf("t%d", i)
			require.Len(t, w.tries(id), 1)
			assert.Zero(t, w.tries(id)[0].CancelledAt)
			assert.Equal(t, []string{"register +1s succeeded"}, w.facts(t, id)[:1])
		}
	})
}

func TestAFrozenInstanceStartsNothingWhenItGoesOn(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		const running, claimed = 5, 20
		w.Plan(takes(3 * time.Minute))
		w.spoiled("a", broken{claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			reply, err := b.shared.Claim(ctx, req)
			if len(reply.Started) == claimed {
				b.process.Freeze()
			}
			return reply, err
		}})
		a := w.Start("a", punctual.WithConcurrency(100))
		w.after(time.Second)
		for i := range running {
			require.NoError(t, a.Add(hourly(fmt.Sprintf("running%d", i))))
		}
		for i := range claimed {
			require.NoError(t, a.Add(w.at(fmt.Sprintf("claimed%d", i), 3*time.Second)))
		}
		w.after(4 * time.Second)
		require.True(t, a.frozen())
		b := w.Start("b", punctual.WithConcurrency(100))
		w.Plan(takes(time.Second))
		w.after(34 * time.Second)
		a.Thaw()
		w.after(time.Minute)
		for i := range running {
			tries := w.tries(fmt.Sprintf("running%d", i))
			require.Len(t, tries, 2)
			require.ErrorIs(t, tries[0].Cause, punctual.ErrLeaseLost)
			assert.Equal(t, []*Process{a, b}, []*Process{tries[0].Process, tries[1].Process})
		}
		for i := range claimed {
			id := fmt.Sprintf("claimed%d", i)
			require.Len(t, w.tries(id), 1)
			assert.Equal(t, b, w.tries(id)[0].Process)
			assert.Equal(t, []string{"schedule +3s succeeded in attempt 2"}, w.facts(t, id))
		}
	})
}

func TestAWallClockThatIsWrongMovesNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		a := w.Start("a")
		w.Start("b")
		require.NoError(t, a.Add(punctual.Task{ID: "t", Schedule: punctual.Every(10 * time.Second)}))
		w.after(21 * time.Second)
		a.Jump(time.Hour)
		w.after(41 * time.Second)
		a.Jump(-2 * time.Hour)
		w.after(61 * time.Second)
		assert.Equal(t, []float64{0, 10, 20, 30, 40, 50, 60}, w.begun("t"))
	})
}

func TestAStoreThatIsDownForAWhile(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		const tasks = 3
		var instances []*Process
		for i := range 4 {
			instances = append(instances, w.Start(fmt.Sprint(i)))
		}
		w.after(time.Second)
		for i := range tasks {
			require.NoError(t, instances[0].Add(punctual.Task{ID: fmt.Sprintf("t%d", i), Schedule: punctual.Every(2 * time.Second)}))
		}
		w.after(10 * time.Second)
		w.Weather(weather{refused: 1})
		err := instances[1].Add(hourly("refused"))
		require.ErrorIs(t, err, punctual.ErrUnavailable)
		w.after(40 * time.Second)
		for _, p := range instances {
			assert.False(t, p.Health().OK, p.Health().Reasons)
		}
		w.Weather(weather{latency: time.Millisecond})
		w.after(50 * time.Second)
		for i := range tasks {
			recovered := w.tries(fmt.Sprintf("t%d", i))
			assert.WithinRange(t, recovered[len(recovered)-1].Begun, w.Begin.Add(47*time.Second), w.Begin.Add(50*time.Second))
		}
		for _, p := range instances {
			assert.True(t, p.Health().OK, p.Health().Reasons)
		}
	})
}

func TestTheAnswerOfACommitIsLost(t *testing.T) {
	t.Run("of a claim", func(t *testing.T) {
		onEachStore(t, func(t *testing.T, w *World) {
			lost := false
			w.spoiled("a", broken{claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
				reply, err := b.shared.Claim(ctx, req)
				if len(reply.Started) > 0 && !lost {
					lost = true
					return punctual.ClaimReply{}, errReset
				}
				return reply, err
			}})
			a := w.Start("a")
			require.NoError(t, a.Add(w.at("t", time.Second)))
			w.after(time.Minute)
			assert.Len(t, w.tries("t"), 1)
			assert.LessOrEqual(t, w.begun("t")[0], 11.5, "found at the second beat")
			assert.Equal(t, []string{"schedule +1s succeeded"}, w.facts(t, "t"), "no attempt was spent")
		})
	})
	t.Run("of a finish", func(t *testing.T) {
		onEachStore(t, func(t *testing.T, w *World) {
			lost := 0
			w.spoiled("a", broken{finish: func(b *broken, ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
				reply, err := b.shared.Finish(ctx, req)
				if lost++; lost <= 3 {
					return punctual.FinishReply{}, errReset
				}
				return reply, err
			}})
			a := w.Start("a")
			w.after(time.Second)
			require.NoError(t, a.Add(hourly("t")))
			time.Sleep(50 * time.Millisecond)
			row := w.rows(t, "t")[0]
			require.Equal(t, punctual.StateSucceeded, row.State)
			w.after(time.Minute)
			assert.Equal(t, row, w.rows(t, "t")[0], "the repeats change nothing")
			assert.Equal(t, 4, lost)
			assert.Len(t, w.tries("t"), 1)
		})
	})
}

// What an instance could not store before the deadline of its shutdown was taken for a claim whose answer had been lost.
func TestAResultThatWasGivenUpIsNotHandedBackAsIfItHadNeverBegun(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(func(e *Execution) Work {
			if e.Run.TaskID == "deaf" {
				return Work{Takes: time.Hour, Deaf: 30 * time.Second}
			}
			return Work{Takes: 2 * time.Second}
		})
		w.spoiled("a", broken{finish: func(b *broken, ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
			if time.Since(w.Begin) < 6*time.Second {
				return punctual.FinishReply{}, errReset
			}
			return b.shared.Finish(ctx, req)
		}})
		a := w.Start("a")
		w.after(time.Second)
		require.NoError(t, a.Add(hourly("t")))
		require.NoError(t, a.Add(hourly("deaf"))) // keeps the session alive
		w.after(2 * time.Second)
		require.Error(t, a.Stop(3*time.Second))
		b := w.Start("b")
		w.after(2 * time.Minute)
		tries := w.tries("t")
		require.Len(t, tries, 2)
		assert.Equal(t, []any{b, 2}, []any{tries[1].Process, tries[1].Run.Attempt})
		row := w.rows(t, "t")[0]
		require.Len(t, row.History, 1)
		assert.Equal(t, "lost", row.History[0].Outcome)
	})
}

// The store was asked what the session holds, and while its answer was on the way a run ended that had been unknown at the beat before.
func TestARunThatEndsWhileStraysAreSoughtIsNone(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(6 * time.Second))
		w.spoiled("a", broken{
			claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
				reply, err := b.shared.Claim(ctx, req)
				if len(reply.Started) > 0 {
					time.Sleep(4100 * time.Millisecond)
				}
				return reply, err
			},
			held: func(b *broken, ctx context.Context, session string) ([]punctual.Run, error) {
				runs, err := b.shared.Held(ctx, session)
				if len(w.Executions()) > 0 {
					time.Sleep(2 * time.Second)
				}
				return runs, err
			},
		})
		a := w.Start("a")
		require.NoError(t, a.Add(w.at("t", time.Second)))
		w.after(time.Minute)
		row := w.rows(t, "t")[0]
		assert.Equal(t, []any{punctual.StateSucceeded, 1}, []any{row.State, row.Attempt})
		assert.Empty(t, row.History)
	})
}

// A claim whose answer had been lost was handed back and claimed anew, and the answer to that was on its way when the next beat saw the run again.
func TestAStrayThatWasClaimedAnewIsAnother(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(time.Second))
		claims, sightings := 0, 0
		w.spoiled("a", broken{
			claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
				reply, err := b.shared.Claim(ctx, req)
				if len(reply.Started) > 0 {
					switch claims++; claims {
					case 1:
						return punctual.ClaimReply{}, errReset
					case 2:
						time.Sleep(time.Second)
					}
				}
				return reply, err
			},
			held: func(b *broken, ctx context.Context, session string) ([]punctual.Run, error) {
				runs, err := b.shared.Held(ctx, session)
				if len(runs) > 0 && sightings == 0 {
					sightings++
					_, err := b.shared.Finish(ctx, punctual.FinishRequest{Session: session, Items: []punctual.Finish{{
						RunID: runs[0].ID, TaskID: runs[0].TaskID, Attempt: runs[0].Attempt, State: punctual.StatePending, Released: true,
						StartedAt: runs[0].StartedAt, FinishedAt: time.Now(),
					}}}) // one that had been long on its way
					require.NoError(t, err)
				}
				return runs, err
			},
		})
		a := w.Start("a")
		require.NoError(t, a.Add(w.at("t", time.Second)))
		require.NoError(t, a.Add(w.at("wake", 9900*time.Millisecond)))
		w.after(time.Minute)
		assert.Equal(t, []any{2, 1}, []any{claims, sightings})
		assert.Len(t, w.tries("t"), 1)
		assert.Len(t, w.tries("wake"), 1)
	})
}

func TestManyInstancesAndManyTasksDueAtOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		tasks := 1000 / slowness
		a := w.Start("a")
		for i := range tasks {
			require.NoError(t, a.Add(w.at(fmt.Sprintf("t%d", i), time.Minute)))
		}
		for i := range 7 {
			w.Start(fmt.Sprint(i), punctual.WithConcurrency(500))
		}
		w.after(90 * time.Second)
		assert.Len(t, w.Executions(), tasks)
		seen := make(map[string]int)
		for _, e := range w.Executions() {
			seen[e.Run.TaskID]++
		}
		assert.Len(t, seen, tasks)
	})
}

func TestAllInstancesAreDownForHours(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	for name, noon := range map[string]time.Time{
		"on an ordinary day":      time.Date(2000, 1, 10, 1, 0, 0, 0, zone),
		"while clocks go forward": time.Date(2000, 4, 2, 0, 30, 0, 0, zone),
		"while clocks go back":    time.Date(2000, 10, 29, 0, 0, 0, 0, zone),
	} {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, w *World) {
				const each = 3 // tasks of each policy
				time.Sleep(time.Until(noon.Add(30 * time.Second)))
				w.Plan(takes(time.Second))
				a := w.Start("a")
				for i := range each {
					for _, misfire := range []punctual.Misfire{punctual.MisfireSkip, punctual.MisfireRunOnce, punctual.MisfireRunAll} {
						require.NoError(t, a.Add(punctual.Task{
							ID: fmt.Sprintf("%v %d", misfire, i), Schedule: punctual.Must(punctual.Cron("*/5 * * * *", zone)), Misfire: misfire,
						}))
					}
				}
				require.NoError(t, a.Stop(time.Minute))
				time.Sleep(3 * time.Hour)
				w.Start("b", punctual.WithConcurrency(7))
				time.Sleep(4 * time.Minute)
				first, last := w.clockTime(noon.Add(5*time.Minute)), func(n int) string { return w.clockTime(noon.Add(3*time.Hour - time.Duration(n)*5*time.Minute)) }
				all := []string{fmt.Sprintf("schedule %s missed misfire 26 times", first)}
				for n := 9; n >= 0; n-- {
					all = append(all, fmt.Sprintf("catch-up %s succeeded", last(n)))
				}
				for i := range each {
					assert.Equal(t, []string{fmt.Sprintf("schedule %s missed misfire 36 times", first)}, w.facts(t, fmt.Sprintf("skip %d", i)))
					assert.ElementsMatch(t, []string{fmt.Sprintf("schedule %s missed misfire 35 times", first), fmt.Sprintf("catch-up %s succeeded", last(0))},
						w.facts(t, fmt.Sprintf("run once %d", i)))
					assert.ElementsMatch(t, all, w.facts(t, fmt.Sprintf("run all %d", i)))
				}
			})
		})
	}
}

func TestShutdownStoresWhatEndsNamesWhatDoesNotAndReleasesTheRest(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		const short, long, claimed = 40, 10, 20
		w.Plan(func(e *Execution) Work {
			if e.Run.Kind == "long" {
				return Work{Takes: time.Hour}
			}
			return Work{Takes: 1500 * time.Millisecond}
		})
		w.spoiled("a", broken{claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			reply, err := b.shared.Claim(ctx, req)
			if len(reply.Started) == claimed {
				time.Sleep(time.Second) // the answer comes when the shutdown has begun
			}
			return reply, err
		}})
		a := w.Start("a", punctual.WithConcurrency(100))
		w.after(time.Second)
		for i := range claimed {
			require.NoError(t, a.Add(w.at(fmt.Sprintf("claimed%d", i), 3*time.Second)))
		}
		w.after(2 * time.Second)
		for i := range long {
			task := hourly(fmt.Sprintf("long%d", i))
			task.Kind = "long"
			require.NoError(t, a.Add(task))
		}
		for i := range short {
			require.NoError(t, a.Add(hourly(fmt.Sprintf("short%d", i))))
		}
		w.after(3*time.Second + 500*time.Millisecond)
		begun := time.Now()
		err := a.Stop(2 * time.Second)
		assert.LessOrEqual(t, time.Since(begun), 2200*time.Millisecond)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for i := range long {
			assert.ErrorContains(t, err, w.tries(fmt.Sprintf("long%d", i))[0].Run.ID)
		}
		for i := range short {
			assert.Equal(t, []string{"register +2s succeeded"}, w.facts(t, fmt.Sprintf("short%d", i)))
			assert.NotContains(t, err.Error(), w.tries(fmt.Sprintf("short%d", i))[0].Run.ID)
		}
		for i := range claimed {
			assert.Empty(t, w.tries(fmt.Sprintf("claimed%d", i)))
		}
		b := w.Start("b")
		w.after(20 * time.Second)
		for i := range claimed {
			id := fmt.Sprintf("claimed%d", i)
			assert.Equal(t, []string{"schedule +3s succeeded"}, w.facts(t, id), "no attempt was spent")
			require.Len(t, w.tries(id), 1)
			assert.Equal(t, b, w.tries(id)[0].Process)
		}
	})
}

func TestShutdownOverAStoreThatHangs(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(2 * time.Second))
		a := w.Start("a")
		w.after(time.Second)
		require.NoError(t, a.Add(hourly("t")))
		w.after(2 * time.Second)
		w.Weather(weather{vanish: 1})
		begun := time.Now()
		err := a.Stop(5 * time.Second)
		assert.Equal(t, 5*time.Second, time.Since(begun))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, w.tries("t")[0].Run.ID)
		assert.ErrorContains(t, err, "result not stored")
		w.after(time.Minute)
		w.Weather(weather{})
		w.Start("b")
		w.after(2 * time.Minute)
		assert.Equal(t, []string{"register +1s succeeded in attempt 2"}, w.facts(t, "t"), "what could not be stored is done again")
	})
}
