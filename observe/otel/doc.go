// Package otel gives a Scheduler OpenTelemetry metrics and traces.
//
//	o, err := otel.New() // or with providers of your own
//	...
//	s, err := punctual.New(store, punctual.Chain(executor, o.Middleware), punctual.WithObserver(o))
//	...
//	stop, err := o.Watch(s) // figures that are asked for when they are read: in flight, backlog, health
//	defer stop()
//	...
//	err = s.Ensure(ctx, o.Traced(ctx, task)) // runs link with the trace in ctx
//
// Each part works without the others. The package uses the OpenTelemetry API only: what becomes of metrics and spans is the
// business of the SDK that the host sets up.
//
// # Metrics
//
// All have the scope github.com/punctual-go/punctual/observe/otel. Durations are in seconds. Attributes stand in brackets.
//
//   - punctual.runs {run}: ledger facts that became final, a range of skipped or missed occurrences by its number
//     [punctual.run.state, punctual.run.trigger, punctual.run.reason, punctual.task.kind]
//   - punctual.attempts {attempt}: attempts that ended [punctual.attempt.outcome, punctual.task.kind]
//   - punctual.attempt.duration s: how long attempts took, those that were handed back before they began excepted
//     [punctual.attempt.outcome, punctual.task.kind]
//   - punctual.run.lateness s: from the scheduled instant to the start of the first attempt [punctual.run.trigger, punctual.task.kind]
//   - punctual.store.call.duration s: how long calls to the store took; the method "claim" is the claim time [punctual.store.method]
//   - punctual.store.errors {error}: calls to the store that failed [punctual.store.method, error.type]
//   - punctual.claim.runs {run}: how many runs a claim started
//   - punctual.attempt.in_flight {attempt}: attempts of the instance whose outcome is not stored yet (Watch)
//   - punctual.backlog.age s: for how long the earliest due work has been waiting; zero when none waits (Watch)
//   - punctual.task.set_aside {task}: tasks that cannot be decided and wait for somebody to reschedule them (Watch)
//   - punctual.instance.healthy {instance}: 1 while nothing needs attention, else 0 (Watch)
//   - punctual.instance.clock_offset s: how far the store's clock is ahead (Watch)
//
// Watch adds the attribute punctual.instance to its figures. An outcome is a final state of a run ("succeeded", "failed",
// "canceled", "skipped") or what became of an attempt otherwise: "retried", "released", "lost", "stale".
//
// # Spans
//
// Middleware makes one span per attempt around host code, so that spans of the host's own, of HTTP calls for example, are its
// children. It is the root of a trace of its own, since it may run weeks after the registration, and links with the trace of
// that. Its attributes are punctual.task.id, punctual.task.name, punctual.task.kind, punctual.run.id, punctual.run.trigger,
// punctual.run.attempt, punctual.run.scheduled_at and, when the attempt failed, error.type.
package otel
