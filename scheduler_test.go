package punctual_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func hourly(id string) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}
}

func TestIntervalTaskRunsAtOnceAndThenOnSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		w.add(hourly("t"))
		w.wait(0)
		assert.Equal(t, seconds(0), w.starts("t"))
		w.wait(3 * time.Hour)
		assert.Equal(t, seconds(0, 3600, 7200, 10800), w.starts("t"))
		assert.Equal(t, []string{
			"register +0s succeeded", "schedule +1h0m0s succeeded", "schedule +2h0m0s succeeded", "schedule +3h0m0s succeeded",
		}, w.facts("t"))
		assert.Equal(t, w.begin.Add(4*time.Hour).UTC(), w.task("t").NextRunAt)
		w.stop()
	})
}

func TestDisabledTaskIsNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		task := hourly("t")
		task.Disabled = true
		w.add(task)
		w.wait(10 * time.Hour)
		assert.Empty(t, w.starts("t"))
		assert.Empty(t, w.facts("t"))
		assert.True(t, w.task("t").NextRunAt.IsZero())
		w.stop()
	})
}

func TestRescheduleRunsAtOnceAgainAndCountsFromThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		task := hourly("t")
		task.Disabled = true
		w.add(task)
		w.wait(90 * time.Minute)
		require.NoError(t, w.s.Reschedule(t.Context(), hourly("t")))
		w.wait(time.Hour)
		assert.Equal(t, seconds(5400, 9000), w.starts("t"))
		require.NoError(t, w.s.Reschedule(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute)}))
		w.wait(time.Minute)
		assert.Equal(t, seconds(5400, 9000, 9000, 9060), w.starts("t"))
		w.stop()
	})
}

func TestFixedTimeTaskWaitsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start() // bubbles begin at midnight UTC
		w.add(punctual.Task{ID: "daily", Schedule: punctual.Daily("09:30", time.UTC)})
		w.add(punctual.Task{ID: "cron", Schedule: punctual.Must(punctual.Cron("15 */6 * * *", time.UTC))})
		w.add(punctual.Task{ID: "once", Schedule: punctual.Once(w.begin.Add(time.Minute))})
		w.wait(59 * time.Second)
		assert.Empty(t, w.calls)
		require.NoError(t, w.s.Reschedule(t.Context(), punctual.Task{ID: "daily", Schedule: punctual.Daily("09:45", time.UTC)}))
		w.wait(24*time.Hour - 59*time.Second)
		assert.Equal(t, seconds(9.75*3600), w.starts("daily"))
		assert.Equal(t, seconds(900, 900+6*3600, 900+12*3600, 900+18*3600), w.starts("cron"))
		assert.Equal(t, seconds(60), w.starts("once"))
		w.stop()
	})
}

func TestAddBeforeStartRunsAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.add(hourly("t"))
		w.wait(20 * time.Minute)
		assert.Empty(t, w.calls)
		w.start()
		assert.Equal(t, seconds(1200), w.starts("t"))
		assert.Equal(t, w.begin.Add(time.Hour).UTC(), w.task("t").NextRunAt, "the interval counts from the registration")
		w.stop()
	})
}

func TestNextRunIsKnownDuringTheImmediateRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Minute)).start()
		w.add(hourly("t"))
		w.wait(time.Second)
		snap := w.task("t")
		assert.Equal(t, 1, snap.Active)
		assert.Equal(t, punctual.StateRunning, snap.LastRun.State)
		assert.Equal(t, w.begin.Add(time.Hour).UTC(), snap.NextRunAt)
		w.stop()
	})
}

func TestNoSecondImmediateRunAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		w.add(hourly("t"))
		w.wait(10 * time.Minute)
		w.stop()
		w.s = w.engine()
		w.start()
		require.NoError(t, w.s.Ensure(t.Context(), hourly("t")))
		w.wait(time.Hour)
		assert.Equal(t, seconds(0, 3600), w.starts("t"))
		w.stop()
	})
}

func TestTwoAddsAreOneTaskAndOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		w.add(hourly("t"))
		require.ErrorIs(t, w.s.Add(t.Context(), hourly("t")), punctual.ErrTaskExists)
		w.wait(0)
		assert.Len(t, w.starts("t"), 1)
		w.stop()
	})
}

func TestRemovedBeforeItBeganNeverBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.add(hourly("t"))
		w.add(hourly("kept"))
		require.NoError(t, w.s.Remove(t.Context(), "t"))
		require.NoError(t, w.s.Remove(t.Context(), "kept", punctual.KeepHistory()))
		w.start()
		w.wait(5 * time.Hour)
		assert.Empty(t, w.calls)
		assert.Empty(t, w.facts("t"))
		assert.Equal(t, []string{"register +0s skipped removed"}, w.facts("kept"))
		require.ErrorIs(t, w.s.Remove(t.Context(), "t"), punctual.ErrTaskNotFound)
		w.stop()
	})
}

func TestRemoveDuringARunLetsItFinishAndDropsItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			defer ended.Add(1)
			return busyFor(time.Minute)(ctx, run)
		}).start()
		w.add(hourly("t"))
		w.add(hourly("cancelled"))
		w.wait(time.Second)
		require.NoError(t, w.s.Remove(t.Context(), "t"))
		require.NoError(t, w.s.Remove(t.Context(), "cancelled", punctual.CancelRunning()))
		w.wait(0)
		assert.EqualValues(t, 1, ended.Load())
		w.wait(time.Minute)
		assert.EqualValues(t, 2, ended.Load())
		assert.Empty(t, w.facts("t"))
		assert.Contains(t, w.logs.String(), `level=INFO msg="result dropped: the task was removed"`)
		assert.NotContains(t, w.logs.String(), "level=ERROR")
		w.stop()
	})
}

func TestFailingCallIsRecordedAndTheScheduleGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
			return punctual.Result{Output: "partial"}, errors.New("model overloaded")
		}).start()
		w.add(hourly("t"))
		w.wait(time.Hour)
		runs := w.ledger("t")
		require.Len(t, runs, 2)
		for _, run := range runs {
			assert.Equal(t, punctual.StateFailed, run.State)
			assert.Equal(t, "model overloaded", run.Error)
			assert.Equal(t, "partial", run.Result.Output)
			assert.Equal(t, 1, run.Attempt)
		}
		w.stop()
	})
}

func TestPanicIsRecordedWithItsStackAndHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			if run.TaskID == "bad" {
				panic("boom")
			}
			if run.TaskID == "gone" {
				runtime.Goexit()
			}
			return punctual.Result{}, nil
		}).start()
		for _, id := range []string{"bad", "gone", "good"} {
			w.add(hourly(id))
		}
		w.wait(time.Hour)
		assert.Equal(t, []string{"register +0s failed panic", "schedule +1h0m0s failed panic"}, w.facts("bad"))
		assert.Equal(t, []string{"register +0s failed", "schedule +1h0m0s failed"}, w.facts("gone"))
		assert.Equal(t, []string{"register +0s succeeded", "schedule +1h0m0s succeeded"}, w.facts("good"))
		bad := w.ledger("bad")[0]
		assert.Equal(t, "panic: boom", bad.Error)
		assert.Contains(t, bad.Stack, "scheduler_test.go")
		w.stop()
	})
}

func TestThousandConcurrentAddsRunOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, punctual.WithConcurrency(50)).start()
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() { assert.NoError(t, w.s.Add(t.Context(), hourly(fmt.Sprint("t", i)))) })
		}
		wg.Wait()
		w.wait(0)
		per := map[string]int{}
		for _, c := range w.calls {
			per[c.task]++
			assert.Equal(t, punctual.TriggerRegister, c.trigger)
		}
		require.Len(t, per, 1000)
		require.Len(t, w.calls, 1000)
		w.stop()
	})
}

func TestEverythingMayBeCalledFromInsideARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w *world
		w = newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			if run.TaskID != "parent" {
				return punctual.Result{}, nil
			}
			inside, ok := punctual.RunFromContext(ctx)
			assert.True(t, ok)
			assert.Equal(t, run.ID, inside.ID)
			assert.NoError(t, w.s.Add(ctx, hourly("child")))
			assert.NoError(t, w.s.Add(ctx, hourly("short-lived")))
			assert.NoError(t, w.s.Remove(ctx, "short-lived"))
			assert.NoError(t, w.s.Pause(ctx, "child"))
			assert.NoError(t, w.s.Resume(ctx, "child"))
			_, err := w.s.RunNow(ctx, "child")
			assert.NoError(t, err)
			return punctual.Result{}, w.s.Reschedule(ctx, punctual.Task{ID: "parent", Schedule: punctual.Every(2 * time.Hour), OnRegister: punctual.WaitForSchedule})
		}).start()
		w.add(hourly("parent"))
		w.wait(time.Minute)
		assert.Equal(t, []string{"register +0s succeeded"}, w.facts("parent"))
		assert.Equal(t, w.begin.Add(2*time.Hour).UTC(), w.task("parent").NextRunAt)
		assert.NotEmpty(t, w.starts("child"))
		w.stop()
	})
}

func TestImmediateRunIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		task := hourly("t")
		task.Name = "the name"
		w.add(task)
		w.wait(0)
		w.stop()
		line := w.logs.String()
		assert.Contains(t, line, `level=INFO msg="[IMMEDIATE] executing interval task"`)
		assert.Contains(t, line, "task_id=t")
		assert.Contains(t, line, `task_name="the name"`)
		assert.Contains(t, line, "run_id="+w.ledger("t")[0].ID)
	})
}

// Scenario of an overrun: every second, each run takes 9.5 s, for a minute (robfig/cron#366 for the panic).
func TestOverrun(t *testing.T) {
	for _, panics := range []bool{false, true} {
		work := func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			_, _ = busyFor(9500*time.Millisecond)(ctx, run)
			if panics {
				panic("each time")
			}
			return punctual.Result{}, nil
		}
		task := punctual.Task{ID: "t", Schedule: punctual.Every(time.Second), OnRegister: punctual.WaitForSchedule}
		t.Run(fmt.Sprint("skip, panics ", panics), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, work).start()
				w.add(task)
				w.wait(60 * time.Second)
				assert.Equal(t, seconds(1, 11, 21, 31, 41, 51), w.starts("t"))
				var ran, skipped int64
				for _, run := range w.ledger("t") {
					if run.State == punctual.StateSkipped {
						skipped += run.Count
						assert.Equal(t, punctual.ReasonOverlap, run.Reason)
						assert.NotEmpty(t, run.BlockedBy)
						assert.EqualValues(t, 9, run.Count, "one row for the skips behind one run")
					} else {
						ran++
					}
				}
				assert.EqualValues(t, 6, ran)
				assert.EqualValues(t, 54, skipped)
				w.wait(time.Second)
				_ = w.s.Close()
				synctest.Wait()
			})
		})
		t.Run(fmt.Sprint("queue of one, panics ", panics), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, work).start()
				queued := task
				queued.Overlap = punctual.OverlapQueue
				w.add(queued)
				w.wait(60 * time.Second)
				assert.Equal(t, seconds(1, 10.5, 20, 29.5, 39, 48.5, 58), w.starts("t"), "back to back")
				_ = w.s.Close()
				synctest.Wait()
			})
		})
	}
}

func TestOneSlowTaskDelaysOthersAndDropsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			if run.TaskID == "slow" {
				return busyFor(700*time.Millisecond)(ctx, run)
			}
			return punctual.Result{}, nil
		}, punctual.WithConcurrency(1)).start()
		w.add(hourly("slow"))
		w.add(punctual.Task{ID: "once", Schedule: punctual.Once(w.begin.Add(300 * time.Millisecond))})
		w.wait(time.Second)
		assert.Equal(t, seconds(0.7), w.starts("once"))
		assert.Equal(t, []string{"schedule +300ms succeeded"}, w.facts("once"))
		w.stop()
	})
}

func TestRescheduleDuringARunKeepsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			if run.Trigger == punctual.TriggerRegister {
				time.Sleep(90 * time.Second)
				cause = context.Cause(ctx)
			}
			return punctual.Result{Output: "kept"}, nil
		}).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute)})
		w.wait(30 * time.Second)
		before := w.task("t")
		require.Error(t, w.s.Reschedule(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(0)}))
		assert.Equal(t, before, w.task("t"), "an invalid schedule leaves the old one")
		require.NoError(t, w.s.Reschedule(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(10 * time.Minute), OnRegister: punctual.WaitForSchedule}))
		w.wait(19 * time.Minute)
		assert.NoError(t, cause, "its context lives")
		assert.Equal(t, []string{"register +0s succeeded", "schedule +10m30s succeeded"}, w.facts("t"))
		assert.Equal(t, "kept", w.ledger("t")[0].Result.Output)
		assert.Equal(t, seconds(0, 630), w.starts("t"), "no occurrence of the old schedule starts")
		w.stop()
	})
}

func TestThousandReschedulesAtOnceRunEachOccurrenceAtMostOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Second)})
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i%10) * time.Second / 2)
				assert.NoError(t, w.s.Reschedule(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(time.Second)}))
			})
		}
		wg.Wait()
		w.wait(2 * time.Second)
		assert.EqualValues(t, 1001, w.task("t").Revision)
		type key struct {
			trigger punctual.Trigger
			at      time.Time
		}
		seen, started := map[key]bool{}, map[string]bool{}
		for _, run := range w.ledger("t") {
			if run.Trigger == punctual.TriggerSchedule {
				assert.False(t, seen[key{run.Trigger, run.ScheduledAt}], "%v twice", run.ScheduledAt)
				seen[key{run.Trigger, run.ScheduledAt}] = true
			}
		}
		for _, c := range w.calls {
			assert.False(t, started[c.runID], "run %s started twice", c.runID)
			started[c.runID] = true
		}
		w.stop()
	})
}

func TestRetryLadder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			if run.Attempt < 4 {
				return punctual.Result{}, fmt.Errorf("failure %d", run.Attempt)
			}
			return punctual.Result{Output: "at last"}, nil
		}).start()
		task := hourly("t")
		task.Retry = punctual.Retry{MaxAttempts: 5, Initial: time.Second}
		w.add(task)
		w.wait(10 * time.Minute)
		assert.Equal(t, seconds(0, 1, 3, 7), w.starts("t"))
		runs := w.ledger("t")
		require.Len(t, runs, 1, "attempts share one run")
		assert.Equal(t, punctual.StateSucceeded, runs[0].State)
		assert.Equal(t, 4, runs[0].Attempt)
		assert.Empty(t, runs[0].Error)
		require.Len(t, runs[0].History, 3)
		assert.Equal(t, "failure 2", runs[0].History[1].Error)
		w.stop()
	})
}

func TestTimeoutCancelsTheAttemptAndTracksItUntilItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			return punctual.Result{}, context.Cause(ctx)
		}).start()
		task := hourly("t")
		task.Timeout = 10 * time.Second
		w.add(task)
		w.wait(12 * time.Second)
		assert.Equal(t, 1, w.task("t").Active, "it is tracked until it returns")
		w.wait(4 * time.Second)
		assert.Equal(t, []string{"register +0s failed timeout"}, w.facts("t"))
		assert.Equal(t, 15*time.Second, w.ledger("t")[0].FinishedAt.Sub(w.ledger("t")[0].StartedAt))
		w.stop()
	})
}

func TestPauseAndResumeOweNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		w.add(hourly("t"))
		w.wait(90 * time.Minute)
		require.NoError(t, w.s.Pause(t.Context(), "t"))
		assert.True(t, w.task("t").Paused)
		require.NoError(t, w.s.Ensure(t.Context(), hourly("t")))
		w.wait(5 * time.Hour)
		run, err := w.s.RunNow(t.Context(), "t")
		require.NoError(t, err)
		assert.Equal(t, punctual.StateRunning, run.State)
		require.NoError(t, w.s.Resume(t.Context(), "t"))
		w.wait(time.Hour)
		assert.Equal(t, seconds(0, 3600, 6.5*3600, 7*3600), w.starts("t"))
		require.ErrorIs(t, w.s.Pause(t.Context(), "absent"), punctual.ErrTaskNotFound)
		require.ErrorIs(t, w.s.Resume(t.Context(), "absent"), punctual.ErrTaskNotFound)
		w.stop()
	})
}

func TestRunNowAnswersWhatBecomesOfTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Minute)).start()
		w.add(hourly("t"))
		w.wait(time.Second)
		run, err := w.s.RunNow(t.Context(), "t")
		require.NoError(t, err)
		assert.Equal(t, punctual.StateSkipped, run.State)
		assert.Equal(t, punctual.ReasonOverlap, run.Reason)
		assert.Equal(t, w.ledger("t")[0].ID, run.BlockedBy)
		stored, err := w.s.Run(t.Context(), run.ID)
		require.NoError(t, err)
		assert.Equal(t, punctual.StateSkipped, stored.State)
		w.wait(time.Minute)
		run, err = w.s.RunNow(t.Context(), "t")
		require.NoError(t, err)
		assert.Equal(t, punctual.StateRunning, run.State)
		assert.Equal(t, w.begin.Add(time.Hour).UTC(), w.task("t").NextRunAt, "the schedule does not move")
		_, err = w.s.RunNow(t.Context(), "absent")
		require.ErrorIs(t, err, punctual.ErrTaskNotFound)
		w.stop()
	})
}

func TestCancelARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Hour), punctual.WithConcurrency(1)).start()
		w.add(hourly("running"))
		w.add(hourly("pending"))
		w.wait(time.Second)
		for _, id := range []string{"pending", "running"} {
			require.NoError(t, w.s.Cancel(t.Context(), w.ledger(id)[0].ID))
			w.wait(0)
			assert.Equal(t, []string{"register +0s canceled canceled"}, w.facts(id))
		}
		assert.Empty(t, w.starts("pending"))
		require.ErrorIs(t, w.s.Cancel(t.Context(), w.ledger("running")[0].ID), punctual.ErrRunFinished)
		require.ErrorIs(t, w.s.Cancel(t.Context(), "absent"), punctual.ErrRunNotFound)
		w.stop()
	})
}

func TestFixedDelayCountsFromTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(40*time.Second)).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute).AfterCompletion()})
		w.wait(5 * time.Minute)
		assert.Equal(t, seconds(0, 100, 200, 300), w.starts("t"))
		w.stop()
	})
}

func TestFirstDelayAndRegisterSpreadMoveTheAnchor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, punctual.WithRegisterSpread(time.Minute)).start()
		for i := range 20 {
			task := hourly(fmt.Sprint("t", i))
			task.FirstDelay = 10 * time.Minute
			w.add(task)
		}
		w.wait(3 * time.Hour)
		firsts := map[time.Duration]bool{}
		for i := range 20 {
			at := w.starts(fmt.Sprint("t", i))
			require.Len(t, at, 3)
			assert.GreaterOrEqual(t, at[0], 10*time.Minute)
			assert.Less(t, at[0], 11*time.Minute)
			assert.Equal(t, time.Hour, at[1]-at[0])
			assert.Equal(t, time.Hour, at[2]-at[1])
			firsts[at[0]] = true
		}
		assert.Greater(t, len(firsts), 15)
		w.stop()
	})
}

// Case C8 (go-cron ran a slot that was 39 h old): down for 48 h, every five minutes.
func TestMissedOccurrencesAfterADowntime(t *testing.T) {
	tests := []struct {
		name   string
		change func(*punctual.Task)
		starts int
		facts  []string
	}{
		{"run once", func(*punctual.Task) {}, 1, []string{"catch-up +48h0m0s succeeded", "schedule +5m0s missed x575 misfire"}},
		{"run all", func(task *punctual.Task) { task.Misfire, task.MisfireLimit = punctual.MisfireRunAll, 3 }, 3, []string{
			"schedule +5m0s missed x573 misfire", "catch-up +47h50m0s succeeded", "catch-up +47h55m0s succeeded", "catch-up +48h0m0s succeeded",
		}},
		{"skip", func(task *punctual.Task) { task.Misfire = punctual.MisfireSkip }, 0, []string{"schedule +5m0s missed x576 misfire"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				task := punctual.Task{ID: "t", Schedule: punctual.Must(punctual.Cron("*/5 * * * *", time.UTC))}
				test.change(&task)
				w.add(task)
				w.wait(48*time.Hour + 2*time.Minute)
				w.start()
				assert.Len(t, w.starts("t"), test.starts, "no extra immediate run")
				assert.Equal(t, test.facts, w.facts("t"))
				w.wait(3 * time.Minute)
				assert.Len(t, w.starts("t"), test.starts+1, "then on schedule")
				w.stop()
			})
		})
	}
}

// C8 again: a year of seconds is decided without a walk; BenchmarkCountAYear says how quickly.
func TestAYearOfSecondsIsDecidedInOneStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.add(punctual.Task{ID: "t", Schedule: punctual.Must(punctual.Cron("* * * * * *", time.UTC))})
		w.wait(365 * 24 * time.Hour)
		w.start()
		facts := w.facts("t")
		require.Len(t, facts, 2)
		assert.Contains(t, facts[1], "missed x31535999")
		w.stop()
	})
}

// Two instances over one store never run an occurrence twice (gocron#841).
func TestTwoInstancesShareTheOccurrences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, punctual.WithInstance("a"))
		b := w.engine(punctual.WithInstance("b"))
		w.start()
		time.Sleep(300 * time.Millisecond)
		require.NoError(t, b.Start(t.Context()))
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute)})
		w.wait(100 * time.Minute)
		assert.Len(t, w.starts("t"), 101)
		ofB, err := b.Task(t.Context(), "t")
		require.NoError(t, err)
		assert.Equal(t, w.task("t").NextRunAt, ofB.NextRunAt)
		w.stop()
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestWorksOnAMockClock(t *testing.T) {
	mock := clock.NewMock()
	ran := make(chan time.Time, 100)
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		ran <- mock.Now()
		return punctual.Result{}, nil
	}), punctual.WithClock(mock), punctual.WithLease(time.Hour))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.Add(t.Context(), hourly("t")))
	require.NoError(t, s.WaitIdle(t.Context()))
	for range 4 * 60 {
		mock.Add(time.Minute)
		require.NoError(t, s.WaitIdle(t.Context()))
	}
	close(ran)
	var at []time.Duration
	for when := range ran {
		at = append(at, when.Sub(time.Unix(0, 0)))
	}
	assert.Equal(t, []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour}, at)
	require.NoError(t, s.Shutdown(t.Context()))
}

func TestBadDefinitionsAreRefusedWithEachFieldNamed(t *testing.T) {
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, nil
	}))
	require.NoError(t, err)
	ok := hourly("t")
	tests := []struct {
		name   string
		change func(*punctual.Task)
		field  string
		reason string
	}{
		{"empty id", func(t *punctual.Task) { t.ID = "" }, "ID", "must not be empty"},
		{"control characters", func(t *punctual.Task) { t.ID = "a\nb" }, "ID", "control characters"},
		{"long id", func(t *punctual.Task) { t.ID = strings.Repeat("x", 256) }, "ID", "256 bytes"},
		{"id that is no text", func(t *punctual.Task) { t.ID = "\xff" }, "ID", "UTF-8"},
		{"no schedule", func(t *punctual.Task) { t.Schedule = nil }, "Schedule", "missing"},
		{"zero interval", func(t *punctual.Task) { t.Schedule = punctual.Every(0) }, "Schedule", "1ms"},
		{"negative interval", func(t *punctual.Task) { t.Schedule = punctual.Every(-time.Second) }, "Schedule", "1ms"},
		{"interval under a millisecond", func(t *punctual.Task) { t.Schedule = punctual.Every(time.Microsecond) }, "Schedule", "1ms"},
		{"25:00", func(t *punctual.Task) { t.Schedule = punctual.Daily("25:00", time.UTC) }, "Schedule", "25:00"},
		{"payload", func(t *punctual.Task) { t.Payload = json.RawMessage(`{"a":`) }, "Payload", "JSON"},
		{"register policy", func(t *punctual.Task) { t.OnRegister = 99 }, "OnRegister", "99"},
		{"overlap policy", func(t *punctual.Task) { t.Overlap = 99 }, "Overlap", "99"},
		{"misfire policy", func(t *punctual.Task) { t.Misfire = 99 }, "Misfire", "99"},
		{"negative timeout", func(t *punctual.Task) { t.Timeout = -1 }, "Timeout", "negative"},
		{"negative retry", func(t *punctual.Task) { t.Retry.MaxAttempts = -1 }, "Retry.MaxAttempts", "negative"},
		{"jitter", func(t *punctual.Task) { t.Retry.Jitter = 2 }, "Retry.Jitter", "between 0 and 1"},
		{"label", func(t *punctual.Task) { t.Labels = map[string]string{"": "x"} }, "Labels", "empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			task := ok
			test.change(&task)
			for _, call := range []func(context.Context, punctual.Task) error{s.Add, s.Ensure, s.Reschedule} {
				err := call(t.Context(), task)
				require.ErrorIs(t, err, punctual.ErrInvalidTask)
				var bad *punctual.TaskError
				require.ErrorAs(t, err, &bad)
				require.Len(t, bad.Fields, 1)
				assert.Equal(t, test.field, bad.Fields[0].Field)
				assert.Contains(t, bad.Fields[0].Reason, test.reason)
			}
		})
	}
	all, err := s.Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	assert.Empty(t, all, "nothing is stored")

	task := hourly("")
	task.Timeout, task.Overlap = -1, 99
	var bad *punctual.TaskError
	require.ErrorAs(t, s.Add(t.Context(), task), &bad)
	assert.Len(t, bad.Fields, 3, "all that is wrong is named at once")
	require.NoError(t, s.Close())
}

// Case C5: one peer hangs.
func TestCronThatNeverMatchesIsRefusedWhenItIsMade(t *testing.T) {
	_, err := punctual.Cron("0 0 30 2 *", time.UTC)
	require.ErrorIs(t, err, punctual.ErrInvalidSchedule)
	_, err = punctual.ParseSchedule("daily 09:30 Mars/Olympus")
	require.ErrorIs(t, err, punctual.ErrInvalidSchedule)
}

func TestUnknownIdsAreReported(t *testing.T) {
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(nil))
	require.NoError(t, err)
	ctx := t.Context()
	_, err = s.Task(ctx, "x")
	require.ErrorIs(t, err, punctual.ErrTaskNotFound)
	require.ErrorIs(t, s.Reschedule(ctx, hourly("x")), punctual.ErrTaskNotFound)
	require.ErrorIs(t, s.Remove(ctx, "x"), punctual.ErrTaskNotFound)
	_, err = s.Run(ctx, "x")
	require.ErrorIs(t, err, punctual.ErrRunNotFound)
	require.NoError(t, s.Close())
}

func TestInputsAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		payload := json.RawMessage(`{"a":1}`)
		labels := map[string]string{"a": "b"}
		task := hourly("t")
		task.Payload, task.Labels = payload, labels
		w.add(task)
		payload[1] = 'X'
		labels["a"] = "changed"
		snap := w.task("t")
		assert.JSONEq(t, `{"a":1}`, string(snap.Task.Payload))
		assert.Equal(t, "b", snap.Task.Labels["a"])
		snap.Task.Labels["a"] = "changed"
		assert.Equal(t, "b", w.task("t").Task.Labels["a"])
	})
}

func TestChurnLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, punctual.WithLogger(slog.New(slog.DiscardHandler))).start()
		before, heap := goleak.IgnoreCurrent(), heapInUse()
		for i := range 100_000 {
			task := hourly(fmt.Sprint("t", i))
			task.OnRegister = punctual.WaitForSchedule
			if i%500 == 0 {
				task.OnRegister = punctual.RunImmediatelyOnRegister
			}
			w.add(task)
			if i%500 == 0 {
				synctest.Wait()
			}
			require.NoError(t, w.s.Remove(t.Context(), task.ID))
		}
		w.wait(time.Minute)
		assert.Len(t, w.calls, 200)
		goleak.VerifyNone(t, before)
		assert.Less(t, int64(heapInUse())-int64(heap), int64(1<<20), "bytes of heap that 100,000 tasks have left behind")
		left, err := w.s.Tasks(t.Context(), punctual.TaskQuery{})
		require.NoError(t, err)
		assert.Empty(t, left)
		w.stop()
	})
}
