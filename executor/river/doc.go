// Package river is a Punctual executor that has the work done by River (github.com/riverqueue/river): each run inserts a job.
//
// Punctual decides when something is owed and keeps the account of it; River's workers do it, with the retries and queues that they have
// already. The task's payload is a Job as JSON: the kind of job and its arguments.
//
//	executor := river.New(client) // a *river.Client of the host, which may be one that only inserts
//	scheduler, err := punctual.New(store, executor)
//	...
//	payload, err := river.NewPayload(river.Job{Kind: "sync", Args: json.RawMessage(`{"account":"crm"}`), Wait: true})
//	err = scheduler.Add(ctx, punctual.Task{ID: "sync-crm", Schedule: punctual.Every(30 * time.Minute), Payload: payload})
//
// Without Wait a run ends as soon as its job is inserted, and River alone knows what becomes of that. With Wait it ends with the job, and
// takes its outcome: the ledger then tells what became of the work, and policies for overlaps hold for the work and not only for its
// insertion.
//
// A run inserts one job, however often it is taken up again: the run's id is among the job's arguments, as ArgRunID, and River refuses a second
// one with the same. What it stands for is in the job's metadata, see RunOf. Only when a job was cancelled or given up, or when River has removed
// it from its tables, does another attempt of the run insert another.
package river
