package punctual

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// TaskFormat is the version of the JSON form of a Task. Stores keep it beside each definition and leave rows of a newer format
// alone, so that two versions of the library can share a store during an upgrade.
const TaskFormat = 1

// taskJSON is the stored form of a Task. Durations are Go duration texts so that people can read a definition.
type taskJSON struct {
	ID           string            `json:"id"`
	Name         string            `json:"name,omitempty"`
	Kind         string            `json:"kind,omitempty"`
	Schedule     string            `json:"schedule"`
	Payload      json.RawMessage   `json:"payload,omitempty"`
	Disabled     bool              `json:"disabled,omitempty"`
	OnRegister   RegisterPolicy    `json:"on_register,omitempty"`
	FirstDelay   durationText      `json:"first_delay,omitempty"`
	Overlap      Overlap           `json:"overlap,omitempty"`
	MaxActive    int               `json:"max_active,omitempty"`
	MaxQueued    int               `json:"max_queued,omitempty"`
	Key          string            `json:"concurrency_key,omitempty"`
	KeyLimit     int               `json:"concurrency_limit,omitempty"`
	Priority     int               `json:"priority,omitempty"`
	Misfire      Misfire           `json:"misfire,omitempty"`
	MisfireGrace durationText      `json:"misfire_grace,omitempty"`
	MisfireLimit int               `json:"misfire_limit,omitempty"`
	Retry        *retryJSON        `json:"retry,omitempty"`
	Timeout      durationText      `json:"timeout,omitempty"`
	Lost         Lost              `json:"lost,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Trace        string            `json:"trace,omitempty"`
	Revision     int64             `json:"revision,omitempty"`
}

type retryJSON struct {
	MaxAttempts int          `json:"max_attempts,omitempty"`
	Initial     durationText `json:"initial,omitempty"`
	Max         durationText `json:"max,omitempty"`
	Multiplier  float64      `json:"multiplier,omitempty"`
	Jitter      float64      `json:"jitter,omitempty"`
}

type durationText time.Duration

func (d durationText) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *durationText) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = durationText(v)
	return err
}

// MarshalJSON writes the definition with its schedule in text form; UnmarshalJSON reads it back. Stores and configuration files
// keep tasks this way.
func (t Task) MarshalJSON() ([]byte, error) {
	if t.Schedule == nil {
		return nil, &TaskError{t.ID, []FieldError{{"Schedule", "is missing"}}}
	}
	j := taskJSON{
		ID: t.ID, Name: t.Name, Kind: t.Kind, Schedule: t.Schedule.String(), Payload: t.Payload, Disabled: t.Disabled,
		OnRegister: t.OnRegister, FirstDelay: durationText(t.FirstDelay), Overlap: t.Overlap, MaxActive: t.MaxActive,
		MaxQueued: t.MaxQueued, Key: t.ConcurrencyKey, KeyLimit: t.ConcurrencyLimit, Priority: t.Priority,
		Misfire: t.Misfire, MisfireGrace: durationText(t.MisfireGrace), MisfireLimit: t.MisfireLimit,
		Timeout: durationText(t.Timeout), Lost: t.Lost, Labels: t.Labels, Trace: t.Trace, Revision: t.Revision,
	}
	if r := t.Retry; r != (Retry{}) {
		j.Retry = &retryJSON{r.MaxAttempts, durationText(r.Initial), durationText(r.Max), r.Multiplier, r.Jitter}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. It does not validate beyond the schedule; see Validate.
func (t *Task) UnmarshalJSON(b []byte) error {
	var j taskJSON
	if !plainObject(string(b), j.plainField) {
		j = taskJSON{}
		if err := json.Unmarshal(b, &j); err != nil {
			return fmt.Errorf("punctual: task definition: %w", err)
		}
	}
	schedule, err := sharedSchedule(j.Schedule)
	if err != nil {
		return fmt.Errorf("punctual: task definition %q: %w", clip(j.ID, 64), err)
	}
	*t = Task{
		ID: j.ID, Name: j.Name, Kind: j.Kind, Schedule: schedule, Payload: j.Payload, Disabled: j.Disabled,
		OnRegister: j.OnRegister, FirstDelay: time.Duration(j.FirstDelay), Overlap: j.Overlap, MaxActive: j.MaxActive,
		MaxQueued: j.MaxQueued, ConcurrencyKey: j.Key, ConcurrencyLimit: j.KeyLimit, Priority: j.Priority,
		Misfire: j.Misfire, MisfireGrace: time.Duration(j.MisfireGrace), MisfireLimit: j.MisfireLimit,
		Timeout: time.Duration(j.Timeout), Lost: j.Lost, Labels: j.Labels, Trace: j.Trace, Revision: j.Revision,
	}
	if r := j.Retry; r != nil {
		t.Retry = Retry{r.MaxAttempts, time.Duration(r.Initial), time.Duration(r.Max), r.Multiplier, r.Jitter}
	}
	return nil
}

// sameJSON compares two JSON values by their compact text, so that white space does not make a definition new.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
