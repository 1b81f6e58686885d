package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"

	"github.com/punctual-go/punctual/examples/llmcron/internal/vault"
)

// Service creates, changes and shows scheduled calls. API and pages go through the same methods, so they behave alike.
type Service struct {
	scheduler *punctual.Scheduler
	vault     *vault.Vault
	retry     punctual.Retry
	timeout   time.Duration
}

// New makes a service. retry and timeout are those of each task.
func New(s *punctual.Scheduler, v *vault.Vault, retry punctual.Retry, timeout time.Duration) *Service {
	return &Service{scheduler: s, vault: v, retry: retry, timeout: timeout}
}

// Keys opens the key of the task whose run asks for it.
func Keys(v *vault.Vault) openai.KeySource {
	return openai.KeyFunc(func(ctx context.Context, name string) (string, error) {
		run, ok := punctual.RunFromContext(ctx)
		if !ok || run.TaskID != name {
			return "", openai.ErrKeyNotFound
		}
		var d definition
		if err := json.Unmarshal(run.Payload, &d); err != nil {
			return "", openai.ErrKeyNotFound
		}
		return v.Unseal(name, d.SealedKey)
	})
}

// Create adds a task; an enabled interval task is called at once.
func (s *Service) Create(ctx context.Context, in Input) (Task, error) {
	id := newID()
	task, err := s.build(id, definition{}, punctual.Task{}, in)
	if err != nil {
		return Task{}, err
	}
	if err := s.scheduler.Add(ctx, task); err != nil {
		return Task{}, err
	}
	return s.saved(ctx, task)
}

// Replace changes all of a task but its key, which stays unless one is sent (an empty one removes it). An enabled interval task is
// called at once again.
func (s *Service) Replace(ctx context.Context, id string, in Input) (Task, error) {
	return s.change(ctx, id, func(old definition, task punctual.Task) (definition, punctual.Task) {
		return definition{SealedKey: old.SealedKey, KeyMask: old.KeyMask}, punctual.Task{Revision: task.Revision}
	}, in, s.scheduler.Reschedule)
}

// Patch changes what was sent. A patch that changes nothing does nothing.
func (s *Service) Patch(ctx context.Context, id string, in Input) (Task, error) {
	return s.change(ctx, id, func(old definition, task punctual.Task) (definition, punctual.Task) {
		return old, task
	}, in, s.scheduler.Ensure)
}

func (s *Service) change(ctx context.Context, id string, start func(definition, punctual.Task) (definition, punctual.Task), in Input, register func(context.Context, punctual.Task) error) (Task, error) {
	snap, err := s.scheduler.Task(ctx, id)
	if err != nil {
		return Task{}, err
	}
	if in.Revision != nil && *in.Revision != snap.Revision {
		return Task{}, fmt.Errorf("%w: it has revision %d and not %d", punctual.ErrConflict, snap.Revision, *in.Revision)
	}
	var old definition
	if err := json.Unmarshal(snap.Task.Payload, &old); err != nil {
		return Task{}, fmt.Errorf("the stored task cannot be read: %w", err)
	}
	d, base := start(old, snap.Task)
	task, err := s.build(id, d, base, in)
	if err != nil {
		return Task{}, err
	}
	if err := register(ctx, task); err != nil {
		return Task{}, err
	}
	return s.saved(ctx, task)
}

// saved returns a task that was registered a moment ago. A store that fails just then must not make it look as if it had not been saved, or
// whoever did it would do it again: then what was registered is returned, without what only the store knows.
func (s *Service) saved(ctx context.Context, task punctual.Task) (Task, error) {
	stored, err := s.Get(ctx, task.ID)
	if err != nil && !errors.Is(err, punctual.ErrTaskNotFound) {
		return show(punctual.Snapshot{Task: task}), nil
	}
	return stored, err
}

// build makes the scheduler's task of a definition and what was sent over it.
func (s *Service) build(id string, d definition, base punctual.Task, in Input) (punctual.Task, error) {
	d.merge(in)
	faults := map[string]string{}
	task := punctual.Task{
		ID: id, Name: base.Name, Kind: Kind, Disabled: base.Disabled, Retry: s.retry, Timeout: s.timeout, Revision: base.Revision,
	}
	if in.Name != nil {
		task.Name = strings.TrimSpace(*in.Name)
	}
	if in.Enabled != nil {
		task.Disabled = !*in.Enabled
	}
	switch {
	case task.Name == "":
		faults["name"] = "is needed"
	case len(task.Name) > maxName:
		faults["name"] = fmt.Sprintf("is %d bytes long, at most %d are allowed", len(task.Name), maxName)
	}
	d.check(faults)
	if d.TimeoutSeconds > 0 {
		task.Timeout = time.Duration(d.TimeoutSeconds) * time.Second
	}
	task.Schedule = d.schedule(faults)
	if in.APIKey != nil {
		if err := s.setKey(&d, id, strings.TrimSpace(*in.APIKey), faults); err != nil {
			return punctual.Task{}, err
		}
	}
	if len(faults) > 0 {
		return punctual.Task{}, &Invalid{faults}
	}
	payload, err := json.Marshal(d)
	if err != nil {
		return punctual.Task{}, err
	}
	task.Payload = payload
	var bad *punctual.TaskError
	if err := task.Validate(); asError(err, &bad) {
		names := map[string]string{"ID": "id", "Name": "name", "Schedule": "schedule_type", "Payload": "message_content"}
		for _, f := range bad.Fields {
			name, ok := names[f.Field]
			if !ok {
				name = "name"
			}
			faults[name] = f.Reason
		}
		return punctual.Task{}, &Invalid{faults}
	}
	return task, nil
}

func (s *Service) setKey(d *definition, id, key string, faults map[string]string) error {
	d.SealedKey, d.KeyMask = "", ""
	if key == "" {
		return nil
	}
	if len(key) > 1000 || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults["api_key"] = "must be at most 1000 printable ASCII characters without spaces"
		return nil
	}
	sealed, err := s.vault.Seal(id, key)
	d.SealedKey, d.KeyMask = sealed, mask(key)
	return err
}

// Delete removes a task and its log.
func (s *Service) Delete(ctx context.Context, id string) error { return s.scheduler.Remove(ctx, id) }

// RunNow asks for a call besides the schedule.
func (s *Service) RunNow(ctx context.Context, id string) (LogEntry, error) {
	run, err := s.scheduler.RunNow(ctx, id)
	return logEntry(run), err
}

// Get returns a task.
func (s *Service) Get(ctx context.Context, id string) (Task, error) {
	snap, err := s.scheduler.Task(ctx, id)
	if err != nil {
		return Task{}, err
	}
	return show(snap), nil
}

// List returns a page of tasks by id and the cursor of the next page, empty at the end.
func (s *Service) List(ctx context.Context, limit int, cursor string) ([]Task, string, error) {
	limit = pageSize(limit)
	snaps, err := s.scheduler.Tasks(ctx, punctual.TaskQuery{Limit: limit + 1, After: cursor})
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(snaps) > limit {
		snaps, next = snaps[:limit], snaps[limit-1].Task.ID
	}
	tasks := make([]Task, len(snaps))
	for i, snap := range snaps {
		tasks[i] = show(snap)
	}
	return tasks, next, nil
}

// Logs returns a page of the log, newest first, of one task or of all, and the cursor of the next page, empty at the end.
func (s *Service) Logs(ctx context.Context, taskID string, limit int, cursor string) ([]LogEntry, string, error) {
	if taskID != "" {
		if _, err := s.scheduler.Task(ctx, taskID); err != nil {
			return nil, "", err
		}
	}
	limit = pageSize(limit)
	runs, err := s.scheduler.Runs(ctx, punctual.RunQuery{TaskID: taskID, Limit: limit + 1, Before: cursor})
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(runs) > limit {
		runs, next = runs[:limit], runs[limit-1].ID
	}
	entries := make([]LogEntry, len(runs))
	for i, run := range runs {
		entries[i] = logEntry(run)
	}
	return entries, next, nil
}

// Health reports how the scheduler is.
func (s *Service) Health() punctual.Health { return s.scheduler.Health() }

func pageSize(limit int) int {
	if limit <= 0 {
		return 50
	}
	return min(limit, 500)
}

func show(snap punctual.Snapshot) Task {
	var d definition
	_ = json.Unmarshal(snap.Task.Payload, &d) // what cannot be read shows as empty fields beside the fault
	t := Task{
		ID: snap.Task.ID, Name: snap.Task.Name, APIEndpoint: d.APIEndpoint, APIKey: d.KeyMask, Model: d.Model,
		MessageContent: d.MessageContent, Settings: d.Settings, ScheduleType: d.ScheduleType, IntervalMinutes: d.IntervalMinutes,
		IntervalSeconds: d.IntervalSeconds, FixedTime: d.FixedTime, Cron: d.Cron, Timezone: d.Timezone, Enabled: !snap.Task.Disabled,
		CreatedAt: snap.CreatedAt, UpdatedAt: snap.UpdatedAt, NextRunAt: timeOrNil(snap.NextRunAt), Running: snap.Active > 0, Revision: snap.Revision,
	}
	if t.Timezone == "" {
		t.Timezone = "UTC"
	}
	if t.API == "" {
		t.API = openai.APIChat
	}
	if snap.Task.Schedule != nil {
		t.Schedule = punctual.Explain(snap.Task.Schedule)
	}
	if snap.LastRun != nil {
		entry := logEntry(*snap.LastRun)
		t.LastRun = &entry
	}
	return t
}

func newID() string { return strings.ToLower(rand.Text())[:20] }

func asError[E error](err error, target *E) bool { return err != nil && errors.As(err, target) }
