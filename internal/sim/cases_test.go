package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
)

// Cases from the field: bug reports and tests of other schedulers, each on every store.

// robfig/cron#26: the clock jumped an hour, and each of the 720 occurrences ran.
func TestAClockThatJumpsForwardIsOneRunAndOneMissedRow(t *testing.T) {
	onOneMachine(t, func(t *testing.T, w *World) {
		p := w.Start("p")
		require.NoError(t, p.Add(punctual.Task{ID: "t", Schedule: punctual.Every(5 * time.Second)}))
		w.after(time.Second)
		p.Jump(time.Hour)
		w.after(11 * time.Second)
		facts := w.facts(t, "t")
		require.GreaterOrEqual(t, len(facts), 4)
		assert.Equal(t, []string{"register +0s succeeded", "schedule +1h0m5s succeeded", "schedule +5s missed misfire 720 times", "schedule +1h0m10s succeeded"}, facts[:4])
		assert.LessOrEqual(t, w.tries("t")[2].Begun.Sub(w.tries("t")[1].Begun), 5*time.Second)
		n := len(w.tries("t"))
		p.Jump(-time.Hour)
		w.after(10 * time.Minute)
		assert.Len(t, w.tries("t"), n, "a clock that goes back repeats nothing")
	})
}

// gocron#396: what was due while the machine slept never ran.
func TestAMachineThatSleepsRunsWhatWasDueSoonAfterItWakesUp(t *testing.T) {
	onOneMachine(t, func(t *testing.T, w *World) {
		p := w.Start("p")
		require.NoError(t, p.Add(w.at("t", time.Hour)))
		w.after(10 * time.Second)
		p.Jump(2 * time.Hour) // timers stand still while a machine sleeps
		w.after(40 * time.Second)
		require.Len(t, w.tries("t"), 1)
		assert.Equal(t, []string{"catch-up +1h0m0s succeeded"}, w.facts(t, "t"))
	})
}

// go-cron ran a slot that was 39 hours old.
func TestWhatWasMissedOverARestart(t *testing.T) {
	every5 := punctual.Must(punctual.Cron("*/5 * * * *", time.UTC))
	onEachStore(t, func(t *testing.T, w *World) {
		p := w.Start("p")
		require.NoError(t, p.Add(punctual.Task{ID: "once", Schedule: every5}))
		require.NoError(t, p.Add(punctual.Task{ID: "three", Schedule: every5, Misfire: punctual.MisfireRunAll, MisfireLimit: 3}))
		require.NoError(t, p.Add(punctual.Task{ID: "none", Schedule: every5, Misfire: punctual.MisfireSkip}))
		require.NoError(t, p.Add(hourly("hourly")))
		w.after(time.Minute)
		require.NoError(t, p.Stop(time.Minute))
		w.after(48*time.Hour + time.Minute)
		w.Start("q")
		w.after(48*time.Hour + 2*time.Minute)
		assert.Equal(t, []string{"catch-up +48h0m0s succeeded", "schedule +5m0s missed misfire 575 times"}, w.facts(t, "once"))
		assert.Equal(t, []string{"schedule +5m0s missed misfire 576 times"}, w.facts(t, "none"))
		assert.Equal(t, []string{
			"schedule +5m0s missed misfire 573 times", "catch-up +47h50m0s succeeded", "catch-up +47h55m0s succeeded",
			"catch-up +48h0m0s succeeded",
		}, w.facts(t, "three"))
		three := w.tries("three")
		assert.True(t, slices.IsSortedFunc(three, func(a, b Execution) int { return a.Run.ScheduledAt.Compare(b.Run.ScheduledAt) }), "in order")
		assert.Equal(t, []string{"register +0s succeeded", "catch-up +48h0m0s succeeded", "schedule +1h0m0s missed misfire 47 times"}, w.facts(t, "hourly"),
			"no second immediate run")
	})
}

// robfig/cron#366: a schedule stopped after the first panic.
func TestRunsThatTakeLongerThanTheirInterval(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(func(e *Execution) Work {
			return Work{Takes: 9500 * time.Millisecond, Panic: e.Run.Kind == "panics"}
		})
		p := w.Start("p")
		for _, kind := range []string{"returns", "panics"} {
			require.NoError(t, p.Add(punctual.Task{ID: "skip " + kind, Kind: kind, Schedule: punctual.Every(time.Second)}))
			require.NoError(t, p.Add(punctual.Task{ID: "queue " + kind, Kind: kind, Schedule: punctual.Every(time.Second), Overlap: punctual.OverlapQueue}))
		}
		w.after(time.Minute)
		for _, kind := range []string{"returns", "panics"} {
			assert.Equal(t, []float64{0, 10, 20, 30, 40, 50}, w.begun("skip " + kind)[:6])
			assert.Equal(t, []float64{0, 9.5, 19, 28.5, 38, 47.5, 57}, w.begun("queue "+kind))
			skipped := int64(0)
			for _, run := range w.rows(t, "skip "+kind) {
				if run.State == punctual.StateSkipped {
					skipped += run.Count
					assert.NotEmpty(t, run.BlockedBy)
				}
			}
			assert.Equal(t, int64(54), skipped, "9 behind each of 6 runs, up to 59 s")
		}
	})
}

// go-quartz lost it.
func TestAOneShotBehindASlowTaskIsLateAndNotLost(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(700 * time.Millisecond))
		p := w.Start("p", punctual.WithConcurrency(1))
		require.NoError(t, p.Add(hourly("slow")))
		require.NoError(t, p.Add(w.at("once", 300*time.Millisecond)))
		w.after(5 * time.Second)
		assert.Equal(t, []float64{0.7}, w.begun("once"))
		assert.Equal(t, []string{"schedule +300ms succeeded"}, w.facts(t, "once"))
	})
}

// gocron burned a core while it waited.
func TestShutdownNamesARunThatIgnoresItsContext(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(func(*Execution) Work { return Work{Takes: time.Hour, Deaf: 5 * time.Second} })
		p := w.Start("p")
		require.NoError(t, p.Add(hourly("deaf")))
		w.after(time.Second)
		err := p.Stop(time.Second)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, w.tries("deaf")[0].Run.ID)
		assert.Equal(t, w.Begin.Add(2*time.Second), time.Now())
		w.after(8 * time.Second)
		assert.Equal(t, []string{"register +0s succeeded"}, w.facts(t, "deaf"), "its end is recorded when it comes")
	})
}

// gocron#355, #835: deadlocks of Shutdown in unusual places.
func TestShutdownInUnusualPlaces(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Make("idle", Setup{})
		idle := w.processes[0]
		require.NoError(t, idle.Stop(time.Second), "before Start")
		require.ErrorIs(t, idle.Scheduler.Start(context.Background()), punctual.ErrClosed)

		w.Plan(takes(3 * time.Second))
		p := w.Start("p")
		require.NoError(t, p.Add(hourly("t")))
		w.after(time.Second)
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() { assert.NoError(t, p.Stop(time.Minute)) })
		}
		calls.Wait()
		require.NoError(t, p.Stop(time.Minute), "and again")
		require.ErrorIs(t, p.Add(hourly("late")), punctual.ErrClosed)
		require.ErrorIs(t, p.Do("RunNow", "t", func(ctx context.Context) error { _, err := p.RunNow(ctx, "t"); return err }), punctual.ErrClosed)
		assert.Equal(t, []string{"register +0s succeeded"}, w.facts(t, "t"))
	})
}

// gocron cancelled the run and forgot it.
func TestRescheduleDuringARun(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(10 * time.Second))
		p := w.Start("p")
		require.NoError(t, p.Add(punctual.Task{ID: "t", Schedule: punctual.Every(4 * time.Second), Overlap: punctual.OverlapQueue}))
		w.after(time.Second)
		err := p.Reschedule(punctual.Task{ID: "t", Schedule: punctual.Every(-time.Second)})
		require.ErrorIs(t, err, punctual.ErrInvalidTask)
		w.after(2 * time.Second)
		require.NoError(t, p.Reschedule(hourly("t")))
		w.after(30 * time.Minute)
		tries := w.tries("t")
		require.Len(t, tries, 1, "no old occurrence starts")
		assert.Zero(t, tries[0].CancelledAt)
		facts := w.facts(t, "t")
		assert.Equal(t, []string{"register +0s succeeded", "register +2s skipped overlap"}, facts)
	})
}

func TestManyReschedulesAtOnceRunEachOccurrenceAtMostOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		p, q := w.Start("p"), w.Start("q")
		require.NoError(t, p.Add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Second)}))
		var calls sync.WaitGroup
		for i := range 100 {
			calls.Go(func() {
				task := punctual.Task{ID: "t", Schedule: punctual.Every(time.Second + time.Duration(i%7)*100*time.Millisecond)}
				assert.NoError(t, []*Process{p, q}[i%2].Reschedule(task))
			})
		}
		calls.Wait()
		w.after(10 * time.Second)
	})
}

// gocron ran it again at each start.
func TestTheImmediateRunComesOncePerRegistration(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		every6 := punctual.Task{ID: "t", Schedule: punctual.Every(6 * time.Minute)}
		w.Plan(takes(time.Minute))
		p := w.Make("p", Setup{})
		require.NoError(t, p.Add(every6))
		require.ErrorIs(t, p.Add(every6), punctual.ErrTaskExists)
		require.NoError(t, p.Add(hourly("removed")))
		require.NoError(t, p.Do("Remove", "removed", func(ctx context.Context) error { return p.Remove(ctx, "removed") }))
		w.after(2 * time.Minute)
		p.Begin()
		w.after(2*time.Minute + 30*time.Second)
		snap, err := p.Task(context.Background(), "t")
		require.NoError(t, err)
		assert.Equal(t, "+6m0s", w.clockTime(snap.NextRunAt.Round(time.Second)), "known already during the run, and counted from the registration")
		w.after(4 * time.Minute)
		require.NoError(t, p.Stop(time.Minute))
		q := w.Start("q")
		require.NoError(t, q.Ensure(every6))
		w.after(9 * time.Minute)
		assert.Equal(t, []string{"register +0s succeeded", "schedule +6m0s succeeded"}, w.facts(t, "t"))
		assert.Equal(t, []float64{120, 360}, w.begun("t"))
		assert.Empty(t, w.tries("removed"))
	})
}

// gocron kept a goroutine for each task that had been.
func TestTasksThatComeAndGoLeaveNoGoroutines(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		p := w.Start("p")
		w.after(time.Second)
		before := goleak.IgnoreCurrent()
		for i := range 200 {
			id := fmt.Sprintf("t%d", i)
			require.NoError(t, p.Add(hourly(id)))
			if i%2 == 0 {
				time.Sleep(10 * time.Millisecond) // lets it run
			}
			require.NoError(t, p.Do("Remove", id, func(ctx context.Context) error { return p.Remove(ctx, id) }))
		}
		w.after(time.Minute)
		goleak.VerifyNone(t, before)
	})
}

// gocron#841: both replicas ran it.
func TestReplicasWhoseClocksDifferRunEachOccurrenceOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		const minutes = 20
		a, b := w.Start("a"), w.Start("b")
		b.Jump(300 * time.Millisecond)
		every := punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute), OnRegister: punctual.WaitForSchedule}
		require.NoError(t, a.Ensure(every))
		require.NoError(t, b.Ensure(every))
		w.after(minutes*time.Minute + 30*time.Second)
		assert.Len(t, w.tries("t"), minutes)
		ofA, err := a.Task(context.Background(), "t")
		require.NoError(t, err)
		ofB, err := b.Task(context.Background(), "t")
		require.NoError(t, err)
		assert.Equal(t, ofA.NextRunAt, ofB.NextRunAt)
	})
}

// A scheduler of a host stood for hours.
func TestARunThatHangsDelaysNoOther(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(func(e *Execution) Work {
			if e.Run.TaskID == "hung" {
				return Work{Takes: 24 * time.Hour}
			}
			return Work{Takes: time.Second}
		})
		p := w.Start("p")
		require.NoError(t, p.Add(punctual.Task{ID: "hung", Schedule: punctual.Every(10 * time.Second)}))
		require.NoError(t, p.Add(punctual.Task{ID: "t", Schedule: punctual.Every(10 * time.Second)}))
		w.after(2*time.Minute + time.Second)
		require.Len(t, w.tries("t"), 13)
		for i, e := range w.tries("t") {
			assert.LessOrEqual(t, e.Begun.Sub(w.tries("t")[0].Begun.Add(time.Duration(i)*10*time.Second)).Abs(), 20*time.Millisecond)
		}
		require.NoError(t, p.Do("Cancel", "hung", func(ctx context.Context) error { return p.Cancel(ctx, w.tries("hung")[0].Run.ID) }))
		synctest.Wait()
	})
}

// Duplicate completions in most.
func TestAResultThatComesTooLateChangesNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *World) {
		w.Plan(takes(25 * time.Second))
		a := w.Start("a")
		require.NoError(t, a.Add(hourly("t")))
		w.after(time.Second)
		require.Len(t, w.tries("t"), 1) // else b might be the one that looks first
		b := w.Start("b")
		w.after(2 * time.Second)
		a.Freeze()
		w.after(time.Minute)
		a.Thaw()
		w.after(2 * time.Minute)
		tries := w.tries("t")
		require.Len(t, tries, 2)
		assert.Equal(t, []*Process{a, b}, []*Process{tries[0].Process, tries[1].Process})
		row := w.rows(t, "t")[0]
		assert.Equal(t, tries[1].Output, row.Result.Output)
		assert.Equal(t, 2, row.Attempt)
		var outcomes []string
		for _, attempt := range row.History {
			outcomes = append(outcomes, fmt.Sprintf("%d %s", attempt.Number, attempt.Outcome))
		}
		assert.Equal(t, []string{"1 lost", "1 stale"}, outcomes)
		w.mu.Lock()
		defer w.mu.Unlock()
		assert.True(t, slices.ContainsFunc(w.events[a], func(e punctual.Event) bool { return e.Type == punctual.EventStale }), "and it is reported")
	})
}
