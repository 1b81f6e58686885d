// Package service is what the JSON API and the pages of llmcron share: tasks as people see them, their validation, and how they become
// tasks of the scheduler.
package service

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

// The kinds of schedule.
const (
	Interval  = "interval"
	FixedTime = "fixed_time"
	Cron      = "cron"
)

// Task is a scheduled call as API and pages show it.
type Task struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	APIEndpoint    string `json:"api_endpoint"`
	APIKey         string `json:"api_key"` // a mask with at most the last four characters; empty when there is none
	Model          string `json:"model"`
	MessageContent string `json:"message_content"`
	Settings
	ScheduleType    string     `json:"schedule_type"`
	IntervalMinutes int64      `json:"interval_minutes,omitempty"`
	IntervalSeconds int64      `json:"interval_seconds,omitempty"`
	FixedTime       string     `json:"fixed_time,omitempty"`
	Cron            string     `json:"cron,omitempty"`
	Timezone        string     `json:"timezone"`
	Enabled         bool       `json:"enabled"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
	NextRunAt       *time.Time `json:"next_run_at"`
	LastRun         *LogEntry  `json:"last_run"`
	Running         bool       `json:"running"`
	Revision        int64      `json:"revision"` // grows with each change

	// Schedule is the schedule in words, for pages.
	Schedule string `json:"-"`
}

// Input is what a client sends; nil fields were not sent.
type Input struct {
	Name              *string  `json:"name" yaml:"name,omitempty"`
	APIEndpoint       *string  `json:"api_endpoint" yaml:"api_endpoint,omitempty"`
	APIKey            *string  `json:"api_key" yaml:"api_key,omitempty"`
	Model             *string  `json:"model" yaml:"model,omitempty"`
	MessageContent    *string  `json:"message_content" yaml:"message_content,omitempty"`
	API               *string  `json:"api" yaml:"api,omitempty"`
	SystemPrompt      *string  `json:"system_prompt" yaml:"system_prompt,omitempty"`
	MaxTokens         *int64   `json:"max_tokens" yaml:"max_tokens,omitempty"`
	Temperature       *float64 `json:"temperature" yaml:"temperature,omitempty"`
	TimeoutSeconds    *int64   `json:"timeout_seconds" yaml:"timeout_seconds,omitempty"`
	Stream            *bool    `json:"stream" yaml:"stream,omitempty"`
	FirstTokenSeconds *int64   `json:"first_token_seconds" yaml:"first_token_seconds,omitempty"`
	DailyTokens       *int64   `json:"daily_tokens" yaml:"daily_tokens,omitempty"`
	DailyCost         *float64 `json:"daily_cost" yaml:"daily_cost,omitempty"`
	PromptPrice       *float64 `json:"prompt_price" yaml:"prompt_price,omitempty"`
	CompletionPrice   *float64 `json:"completion_price" yaml:"completion_price,omitempty"`
	ScheduleType      *string  `json:"schedule_type" yaml:"schedule_type,omitempty"`
	IntervalMinutes   *int64   `json:"interval_minutes" yaml:"interval_minutes,omitempty"`
	IntervalSeconds   *int64   `json:"interval_seconds" yaml:"interval_seconds,omitempty"`
	FixedTime         *string  `json:"fixed_time" yaml:"fixed_time,omitempty"`
	Cron              *string  `json:"cron" yaml:"cron,omitempty"`
	Timezone          *string  `json:"timezone" yaml:"timezone,omitempty"`
	Enabled           *bool    `json:"enabled" yaml:"enabled,omitempty"`
	// Revision is the one that a change was made from: another in the store is a conflict.
	Revision *int64 `json:"revision" yaml:"-"`
}

// Invalid says what is wrong with an input, by field.
type Invalid struct{ Fields map[string]string }

func (e *Invalid) Error() string {
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(e.Fields)) {
		parts = append(parts, field+": "+e.Fields[field])
	}
	return "invalid task: " + strings.Join(parts, "; ")
}

// definition is the payload of the scheduler's task. The key is in it only sealed.
type definition struct {
	APIEndpoint    string `json:"api_endpoint"`
	SealedKey      string `json:"sealed_key,omitempty"`
	KeyMask        string `json:"key_mask,omitempty"`
	Model          string `json:"model"`
	MessageContent string `json:"message_content"`
	Settings
	ScheduleType    string `json:"schedule_type"`
	IntervalMinutes int64  `json:"interval_minutes,omitempty"`
	IntervalSeconds int64  `json:"interval_seconds,omitempty"`
	FixedTime       string `json:"fixed_time,omitempty"`
	Cron            string `json:"cron,omitempty"`
	Timezone        string `json:"timezone,omitempty"`
}

// mask shows at most the last four characters of a key, and none of a short one.
func mask(key string) string {
	const shown = 4
	if runes := []rune(key); len(runes) >= 4*shown {
		return "****" + string(runes[len(runes)-shown:])
	}
	return "****"
}

// merge puts what was sent over a definition.
func (d *definition) merge(in Input) {
	set := func(field *string, value *string) {
		if value != nil {
			*field = strings.TrimSpace(*value)
		}
	}
	set(&d.APIEndpoint, in.APIEndpoint)
	set(&d.Model, in.Model)
	set(&d.ScheduleType, in.ScheduleType)
	set(&d.FixedTime, in.FixedTime)
	set(&d.Cron, in.Cron)
	set(&d.Timezone, in.Timezone)
	if in.MessageContent != nil {
		d.MessageContent = *in.MessageContent
	}
	d.Settings.merge(in)
	if in.IntervalMinutes != nil {
		d.IntervalMinutes = *in.IntervalMinutes
		if in.IntervalSeconds == nil {
			d.IntervalSeconds = 0
		}
	}
	if in.IntervalSeconds != nil {
		d.IntervalSeconds = *in.IntervalSeconds
		if in.IntervalMinutes == nil {
			d.IntervalMinutes = 0
		}
	}
	// What another kind of schedule had is forgotten.
	if d.ScheduleType != Interval {
		d.IntervalMinutes, d.IntervalSeconds = 0, 0
	}
	if d.ScheduleType != FixedTime {
		d.FixedTime = ""
	}
	if d.ScheduleType != Cron {
		d.Cron = ""
	}
}

const (
	maxMinutes = 366 * 24 * 60
	maxName    = 200
	maxMessage = 100_000
)

// schedule makes the schedule of a definition and reports faults by field.
func (d *definition) schedule(faults map[string]string) punctual.Schedule {
	zone, err := time.LoadLocation(d.Timezone)
	if err != nil || d.Timezone == "Local" {
		faults["timezone"] = fmt.Sprintf("%q is not a zone of the tz database such as Europe/Berlin", d.Timezone)
		zone = time.UTC
	}
	switch d.ScheduleType {
	case Interval:
		return d.interval(faults)
	case FixedTime:
		if d.FixedTime == "" {
			faults["fixed_time"] = "is needed as HH:MM"
			return nil
		}
		if t, err := time.Parse("15:04", d.FixedTime); err != nil || t.Format("15:04") != d.FixedTime {
			faults["fixed_time"] = fmt.Sprintf("%q is not a time between 00:00 and 23:59", d.FixedTime)
			return nil
		}
		return punctual.Daily(d.FixedTime, zone)
	case Cron:
		if d.Cron == "" {
			faults["cron"] = "is needed, for example 0 9 * * 1-5"
			return nil
		}
		s, err := punctual.Cron(d.Cron, zone)
		if err != nil {
			faults["cron"] = strings.TrimPrefix(err.Error(), punctual.ErrInvalidSchedule.Error()+": ")
			return nil
		}
		return s
	case "":
		faults["schedule_type"] = "is needed: interval, fixed_time or cron"
	default:
		faults["schedule_type"] = fmt.Sprintf("%q is none of interval, fixed_time and cron", d.ScheduleType)
	}
	return nil
}

func (d *definition) interval(faults map[string]string) punctual.Schedule {
	switch {
	case d.IntervalMinutes != 0 && d.IntervalSeconds != 0:
		faults["interval_seconds"] = "cannot go together with interval_minutes"
	case d.IntervalSeconds != 0:
		if d.IntervalSeconds < 1 || d.IntervalSeconds > maxMinutes*60 {
			faults["interval_seconds"] = "must be between 1 second and a year"
			return nil
		}
		return punctual.Every(time.Duration(d.IntervalSeconds) * time.Second)
	case d.IntervalMinutes < 1 || d.IntervalMinutes > maxMinutes:
		faults["interval_minutes"] = "must be between 1 minute and a year"
	default:
		return punctual.Every(time.Duration(d.IntervalMinutes) * time.Minute)
	}
	return nil
}

// request is the call that a definition makes.
func (d *definition) request(taskID string) openai.Request {
	r := openai.Request{
		API: d.API, Model: d.Model, System: d.SystemPrompt, Prompt: d.MessageContent, MaxTokens: int(d.MaxTokens), Temperature: d.Temperature,
		Stream: d.Stream, FirstTokenSeconds: float64(d.FirstTokenSeconds), BaseURL: d.APIEndpoint,
	}
	if d.SealedKey != "" {
		r.APIKeyName = taskID
	}
	return r
}

// check reports faults of everything but the schedule.
func (d *definition) check(faults map[string]string) {
	if d.APIEndpoint == "" {
		faults["api_endpoint"] = "is needed, for example https://api.openai.com/v1"
	}
	if d.Model == "" {
		faults["model"] = "is needed"
	}
	if strings.TrimSpace(d.MessageContent) == "" {
		faults["message_content"] = "is needed"
	} else if len(d.MessageContent) > maxMessage {
		faults["message_content"] = fmt.Sprintf("is %d bytes long, at most %d are allowed", len(d.MessageContent), maxMessage)
	}
	if name := unknownVariable(d.SystemPrompt + d.MessageContent); name != "" {
		faults["message_content"] = fmt.Sprintf("there is no variable %s; have %s", name, strings.Join(variableNames, ", "))
	}
	d.Settings.check(faults)
	if len(faults) > 0 {
		return
	}
	var bad *openai.RequestError
	err := d.request("task").Validate()
	if err == nil {
		return
	}
	if !asError(err, &bad) {
		faults["model"] = err.Error()
		return
	}
	names := map[string]string{
		"base_url": "api_endpoint", "prompt": "message_content", "model": "model", "temperature": "temperature",
		"first_token_seconds": "first_token_seconds", "max_tokens": "max_tokens", "api": "api",
	}
	for _, f := range bad.Fields {
		name, ok := names[f.Field]
		if !ok {
			name = "message_content"
		}
		faults[name] = f.Reason
	}
}

// LogEntry is one run as API and pages show it.
type LogEntry struct {
	ID              string          `json:"id"`
	TaskID          string          `json:"task_id"`
	Trigger         string          `json:"trigger"`
	ScheduledAt     time.Time       `json:"scheduled_at"`
	ExecutedAt      *time.Time      `json:"executed_at"`
	FinishedAt      *time.Time      `json:"finished_at"`
	Status          string          `json:"status"`
	Attempt         int             `json:"attempt"`
	ResponseSummary string          `json:"response_summary"`
	ErrorMessage    string          `json:"error_message"`
	Usage           json.RawMessage `json:"usage"`
	// Attempts are those before the last, oldest first: what failed and when.
	Attempts []Attempt `json:"attempts,omitempty"`

	// Count is how many occurrences the entry stands for, for pages.
	Count    int64  `json:"-"`
	TaskName string `json:"-"`
}

// Attempt is one try of a call that did not end its run.
type Attempt struct {
	Attempt      int        `json:"attempt"`
	ExecutedAt   *time.Time `json:"executed_at"`
	FinishedAt   *time.Time `json:"finished_at"`
	ErrorMessage string     `json:"error_message"`
}

// maxSummary is how much of an answer a log entry shows.
const maxSummary = 2000

func logEntry(run punctual.Run) LogEntry {
	e := LogEntry{
		ID: run.ID, TaskID: run.TaskID, TaskName: run.TaskName, Trigger: run.Trigger.String(), ScheduledAt: run.ScheduledAt,
		ExecutedAt: timeOrNil(run.StartedAt), FinishedAt: timeOrNil(run.FinishedAt), Status: status(run.State), Attempt: run.Attempt,
		ResponseSummary: summary(run.Result.Output), ErrorMessage: run.Error, Count: run.Count,
	}
	if e.ErrorMessage == "" && run.Reason != "" {
		e.ErrorMessage = run.Reason
		if run.Count > 1 {
			e.ErrorMessage = fmt.Sprintf("%s, %d times until %s", run.Reason, run.Count, run.Until.Format(time.RFC3339))
		}
	}
	for _, a := range run.History {
		e.Attempts = append(e.Attempts, Attempt{a.Number, timeOrNil(a.StartedAt), timeOrNil(a.FinishedAt), a.Error})
	}
	var facts struct {
		Usage json.RawMessage `json:"usage"`
	}
	if json.Unmarshal(run.Result.Facts, &facts) == nil {
		e.Usage = facts.Usage
	}
	return e
}

// status is the state of a run in the words of the API. A run that waits, for its turn or for another attempt, has not ended and shows
// as running; one whose process died and that is not tried again shows as failed.
func status(s punctual.State) string {
	switch s {
	case punctual.StateSucceeded:
		return "success"
	case punctual.StatePending, punctual.StateRunning:
		return "running"
	case punctual.StateLost:
		return "failed"
	default:
		return s.String()
	}
}

func summary(output string) string {
	runes := []rune(output)
	if len(runes) <= maxSummary {
		return output
	}
	return string(runes[:maxSummary]) + "…"
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
