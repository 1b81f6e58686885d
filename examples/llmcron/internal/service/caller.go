package service

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

// Kind is the kind of all tasks, which limits of concurrency and rate go by.
const Kind = "llm"

// ledger is what a call asks the scheduler.
type ledger interface {
	Runs(context.Context, punctual.RunQuery) ([]punctual.Run, error)
	Task(context.Context, string) (punctual.Snapshot, error)
}

// Caller is the executor: it turns the payload of a run into a request of the inner executor's, which gets its keys from Keys. It keeps
// to budgets, puts values in the place of variables, and ends the retries of a run when the next occurrence is due sooner.
type Caller struct {
	inner   punctual.Executor
	ledger  ledger
	budgets budgets
}

// NewCaller makes a Caller; Use has to be called before the scheduler starts.
func NewCaller(inner punctual.Executor) *Caller { return &Caller{inner: inner} }

// Use tells whose runs these are.
func (c *Caller) Use(s *punctual.Scheduler) {
	c.ledger = s
	c.budgets = budgets{ledger: s, byTask: make(map[string]*spending)}
}

// Execute implements punctual.Executor.
func (c *Caller) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	var d definition
	if err := json.Unmarshal(run.Payload, &d); err != nil {
		return punctual.Result{}, punctual.Permanent(fmt.Errorf("the stored task cannot be read: %w", err))
	}
	now := time.Now()
	limited := d.DailyTokens > 0 || d.DailyCost > 0
	if limited {
		spent, err := c.budgets.spent(ctx, run.TaskID, &d, now)
		if err != nil {
			return punctual.Result{}, fmt.Errorf("what the task has used today cannot be read: %w", err)
		}
		if spent.exceeds(&d) {
			return punctual.Result{}, punctual.Skip(ReasonBudget)
		}
	}
	result, err := c.call(ctx, run, &d, now)
	if limited {
		c.budgets.used(run.TaskID, &d, result)
	}
	return result, c.capped(ctx, run, err)
}

func (c *Caller) call(ctx context.Context, run punctual.Run, d *definition, now time.Time) (punctual.Result, error) {
	v := values{
		now: now, scheduledAt: run.ScheduledAt, zone: d.zone(), taskName: run.TaskName, runID: run.ID,
		lastOutput: func() (string, error) { return c.lastOutput(ctx, run.TaskID) },
	}
	request := d.request(run.TaskID)
	for _, text := range []*string{&request.System, &request.Prompt} {
		var err error
		if *text, err = v.expand(*text); err != nil {
			return punctual.Result{}, fmt.Errorf("the last output cannot be read: %w", err)
		}
	}
	payload, err := openai.NewPayload(request)
	if err != nil {
		return punctual.Result{}, punctual.Permanent(err)
	}
	run.Payload = payload
	return c.inner.Execute(ctx, run)
}

// lastOutput is what the newest success of the task answered; empty before the first.
func (c *Caller) lastOutput(ctx context.Context, taskID string) (string, error) {
	runs, err := c.ledger.Runs(ctx, punctual.RunQuery{TaskID: taskID, States: []punctual.State{punctual.StateSucceeded}, Limit: 1})
	if err != nil || len(runs) == 0 {
		return "", err
	}
	return runs[0].Result.Output, nil
}

// Ladder is how long a failed call waits for its next attempt: 5 s, 10 s, 20 s … 30 min.
func Ladder(attempts int) punctual.Retry {
	return punctual.Retry{MaxAttempts: attempts, Initial: firstWait, Max: longestWait, Multiplier: 2}
}

const (
	firstWait   = 5 * time.Second
	longestWait = 30 * time.Minute
)

// capped makes an error final when the next occurrence is due before another attempt would be: that one is the next try.
func (c *Caller) capped(ctx context.Context, run punctual.Run, err error) error {
	if err == nil || punctual.IsPermanent(err) {
		return err
	}
	wait, said := punctual.RetryAfterOf(err)
	if !said {
		wait = time.Duration(min(float64(firstWait)*math.Pow(2, float64(run.Attempt-1)), float64(longestWait)))
	}
	snap, lookup := c.ledger.Task(context.WithoutCancel(ctx), run.TaskID)
	if lookup == nil && !snap.NextRunAt.IsZero() && !time.Now().Add(wait).Before(snap.NextRunAt) {
		return punctual.Permanent(err)
	}
	return err
}
