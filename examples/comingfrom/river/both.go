package river

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/punctual-go/punctual"
)

// A schedule of Punctual is a river.PeriodicSchedule as it is.
var _ river.PeriodicSchedule = punctual.Weekly("mon-fri", "09:00", nil)

// runArgs is a job that a run of Punctual asks for, for the worker of sync. The run's id makes it unique, so that an attempt which is
// repeated inserts nothing.
type runArgs struct {
	Run     string `json:"run" river:"unique"`
	Account string `json:"account"`
}

func (runArgs) Kind() string { return "sync" }

// both leaves the work to River and the time to Punctual: each run inserts a job.
func both(client *river.Client[pgx.Tx]) punctual.Executor {
	return punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		var args runArgs
		if err := json.Unmarshal(run.Payload, &args); err != nil {
			return punctual.Result{}, punctual.Permanent(err)
		}
		args.Run = run.ID
		inserted, err := client.Insert(ctx, args, &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}})
		if err != nil {
			return punctual.Result{}, err
		}
		return punctual.Result{Output: fmt.Sprintf("job %d", inserted.Job.ID)}, nil
	})
}
