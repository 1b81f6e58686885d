// Package punctual runs tasks at once when they are registered and then on time, and accounts for each occurrence in a ledger.
//
//	fetch := punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
//		return punctual.Result{Output: "42 articles"}, nil // your work; an error fails the run
//	})
//	s, err := punctual.New(memory.New(), fetch)
//	if err != nil {
//		log.Fatal(err)
//	}
//	if err := s.Start(ctx); err != nil {
//		log.Fatal(err)
//	}
//	if err := s.Ensure(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(30 * time.Minute)}); err != nil {
//		log.Fatal(err)
//	}
//
// Ensure commits the definition together with its immediate run and returns without waiting for it. The run is at the executor
// a moment later; the next ones follow 30, 60, 90 ... minutes after the registration, without drift. Ensure is made for
// program start: a task that is registered in the same way already is left alone.
//
// # Words
//
// A [Task] is a definition: an id, a [Schedule], a payload and policies. The host writes it, the engine never changes it. Each
// instant that the schedule yields is an occurrence. A [Run] is one entry of the ledger: what became of an occurrence, of a
// registration, of a RunNow or Backfill. A run has one or more attempts; an [Executor] does the work of one attempt. A [Store] keeps tasks
// and ledger. A [Scheduler] is one instance of the engine over a store, and many may share one.
//
// # Schedules
//
// [Every] means elapsed time, counted from the registration; such tasks run at once when they are registered. [Daily], [Weekly],
// [Monthly] and [Cron] mean the wall clock of a time zone, through every change of its offset, and [Once] a single instant; such tasks
// wait for their time. Every schedule has a text form that [ParseSchedule] reads back. A host may bring schedules of its
// own: see [RegisterSchedule].
//
// # What you can rely on
//
//   - Every occurrence while a task is enabled ends as one fact in the ledger: succeeded, failed, canceled, skipped with the reason
//     and the run in the way, missed (one row for a range), or lost.
//   - A definition and its immediate run are stored in one transaction. With a durable store neither is lost by a crash.
//   - No two instances work on the same attempt. After a crash an attempt is repeated once its lease has lapsed, or marked as lost,
//     as the task says; a result that comes too late changes nothing.
//   - Never more than MaxActive runs of a task at a time, over all instances, whatever triggered them.
//   - After Shutdown was entered nothing new starts. Runs in flight keep a live context until the deadline; the error names
//     what did not finish.
//   - A panic, a hang or a huge output of one run harms neither the engine nor another task.
//   - All decisions take the time from one clock, which tests may replace: see [WithClock].
//
// Executions are at least once by default: a crash between the work and the commit of its result makes the work run again under
// the same [Run].ID. Use that id as idempotency key, or set [Task].Lost to [LostMark] for at most once.
//
// # Where to look
//
// The life of a Scheduler: [New], [Scheduler.Start], [Scheduler.Shutdown]. Tasks: [Scheduler.Add], [Scheduler.Ensure],
// [Scheduler.Reschedule], [Scheduler.Remove], [Scheduler.Pause], [Scheduler.RunNow]. The ledger: [Scheduler.Runs]. Several kinds
// of tasks: [Mux] and [Handle]. Errors that end or delay retries: [Permanent] and [RetryAfter]. The stores are packages of
// their own: store/memory, store/sqlite, store/postgres and store/mysql. Another one can be written against [Store] and proves itself with
// store/storetest. Package punctualtest is for the tests of hosts, package web a dashboard.
package punctual
