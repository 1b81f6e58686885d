package river

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
	"github.com/punctual-go/punctual/store/postgres"
)

// after schedules the same work with Punctual. The store is postgres.New(ctx, pool), over the pool that the program has.
func after(ctx context.Context, store punctual.Store, w work.Work) (*punctual.Scheduler, error) {
	var mux punctual.Mux
	punctual.Handle(&mux, "sync", func(ctx context.Context, _ punctual.Run, args syncArgs) (punctual.Result, error) {
		return punctual.Result{}, w.Sync(ctx, args.Account)
	})
	mux.HandleFunc("report", func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, w.Report(ctx)
	})
	s, err := punctual.New(store, &mux, punctual.WithConcurrency(10))
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	retry := punctual.Retry{MaxAttempts: 25, Initial: time.Second, Multiplier: 4, Max: 24 * time.Hour, Jitter: 0.1}
	tasks := []punctual.Task{
		{
			ID: "sync", Kind: "sync", Schedule: punctual.Every(30 * time.Minute), Payload: json.RawMessage(`{"account":"crm"}`),
			Retry: retry, Timeout: time.Minute,
		},
		{
			ID: "report", Kind: "report", Schedule: punctual.Weekly("mon-fri", "09:00", work.Berlin()),
			Retry: retry, Timeout: time.Minute,
		},
	}
	for _, task := range tasks {
		if err := s.Ensure(ctx, task); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ask registers a task that runs once, in a transaction of the program.
func ask(ctx context.Context, s *punctual.Scheduler, store *postgres.Store, tx pgx.Tx, account string, at time.Time) error {
	payload, err := json.Marshal(syncArgs{Account: account})
	if err != nil {
		return err
	}
	return s.In(store.Tx(tx)).Add(ctx, punctual.Task{
		ID: "sync-" + account, Kind: "sync", Schedule: punctual.Once(at), Payload: payload, Retry: punctual.Retry{MaxAttempts: 5},
	})
}
