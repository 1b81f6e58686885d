package service

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

// ReasonBudget is why a call was skipped: the task had used up its budget of the day.
const ReasonBudget = "budget"

// spending is what a task has used on one day.
type spending struct {
	day    string // in the task's zone
	tokens int64
	cost   float64
}

func (s *spending) add(d *definition, u *openai.Usage) {
	if u == nil {
		return
	}
	s.tokens += int64(u.TotalTokens)
	s.cost += (float64(u.PromptTokens)*d.PromptPrice + float64(u.CompletionTokens)*d.CompletionPrice) / 1e6
}

func (s *spending) exceeds(d *definition) bool {
	return d.DailyTokens > 0 && s.tokens >= d.DailyTokens || d.DailyCost > 0 && s.cost >= d.DailyCost
}

// budgets knows what tasks have used today. The ledger is asked once per task and day, and after a restart; from then on each call adds
// what it used. Tokens of attempts that were tried again within a run are counted while the process lives.
type budgets struct {
	mu     sync.Mutex
	ledger ledger
	byTask map[string]*spending
}

func (d *definition) zone() *time.Location {
	if zone, err := time.LoadLocation(d.Timezone); err == nil {
		return zone
	}
	return time.UTC
}

// spent returns what the task has used on the day that now is in.
func (b *budgets) spent(ctx context.Context, taskID string, d *definition, now time.Time) (spending, error) {
	day := now.In(d.zone()).Format(time.DateOnly)
	b.mu.Lock()
	known := b.byTask[taskID]
	b.mu.Unlock()
	if known == nil || known.day != day {
		fresh, err := b.load(ctx, taskID, d, now, day)
		if err != nil {
			return spending{}, err
		}
		b.mu.Lock()
		b.byTask[taskID] = fresh
		known = fresh
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return *known, nil
}

func (b *budgets) load(ctx context.Context, taskID string, d *definition, now time.Time, day string) (*spending, error) {
	local := now.In(d.zone())
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, d.zone())
	s := &spending{day: day}
	q := punctual.RunQuery{TaskID: taskID, Since: midnight, Limit: punctual.MaxLimit}
	for {
		page, err := b.ledger.Runs(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, run := range page {
			s.add(d, usageOf(run.Result))
		}
		if len(page) < q.Limit {
			return s, nil
		}
		q.Before = page[len(page)-1].ID
	}
}

// used adds what a call has used.
func (b *budgets) used(taskID string, d *definition, result punctual.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.byTask[taskID]; s != nil {
		s.add(d, usageOf(result))
	}
}

func usageOf(result punctual.Result) *openai.Usage {
	var facts openai.Facts
	if json.Unmarshal(result.Facts, &facts) != nil {
		return nil
	}
	return facts.Usage
}
