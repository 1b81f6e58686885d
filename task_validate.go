package punctual

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Validate reports everything that is wrong with the definition as a *TaskError, which wraps ErrInvalidTask, or nil. Add, Ensure
// and Reschedule call it first, so hosts need it only to check forms early.
func (t Task) Validate() error { return t.validate() }

func (t *Task) validate() error {
	if fields := t.faults(); len(fields) > 0 {
		return &TaskError{TaskID: t.ID, Fields: fields}
	}
	return nil
}

// faults lists what is wrong with the definition. Each part is handed over by itself, since a definition as a whole would be moved to the heap
// for it.
func (t *Task) faults() []FieldError {
	var v validation
	v.text("ID", t.ID, true)
	v.text("Name", t.Name, false)
	v.text("Kind", t.Kind, false)
	v.text("Trace", t.Trace, false)
	v.schedule(t.Schedule)
	v.payload(t.Payload)
	v.known("OnRegister", int(t.OnRegister), registerNames)
	v.known("Overlap", int(t.Overlap), overlapNames)
	v.known("Misfire", int(t.Misfire), misfireNames)
	v.known("Lost", int(t.Lost), lostNames)
	v.duration("FirstDelay", t.FirstDelay)
	v.duration("MisfireGrace", t.MisfireGrace)
	v.duration("Timeout", t.Timeout)
	v.count("MaxActive", t.MaxActive)
	v.count("MaxQueued", t.MaxQueued)
	v.text("ConcurrencyKey", t.ConcurrencyKey, false)
	v.count("ConcurrencyLimit", t.ConcurrencyLimit)
	if t.Priority < MinPriority || t.Priority > MaxPriority {
		v.add("Priority", "must be between %d and %d", MinPriority, MaxPriority)
	}
	v.count("MisfireLimit", t.MisfireLimit)
	v.retry(t.Retry)
	v.labels(t.Labels)
	if t.Revision < 0 {
		v.add("Revision", "must not be negative")
	}
	return v.fields
}

// validation collects what is wrong. Its checks are in two parts, so that what is as it should be costs no call.
type validation struct{ fields []FieldError }

func (v *validation) add(field, reason string, args ...any) {
	v.fields = append(v.fields, FieldError{field, fmt.Sprintf(reason, args...)})
}

func (v *validation) text(field, s string, required bool) {
	if s != "" || required {
		v.checkText(field, s, required)
	}
}

func (v *validation) checkText(field, s string, required bool) {
	if reason := textFault(s, required); reason != "" {
		v.add(field, "%s", reason)
	}
}

func textFault(s string, required bool) string {
	switch {
	case s == "" && required:
		return "must not be empty"
	case len(s) > maxName:
		return fmt.Sprintf("is %d bytes long, at most %d are allowed", len(s), maxName)
	case plain(s):
		return ""
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "must not contain control characters"
	default:
		return ""
	}
}

// plain reports whether a text has nothing but printable ASCII, as most have.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func (v *validation) schedule(s Schedule) {
	if s == nil {
		v.add("Schedule", "is missing; use Every, Daily, Cron, Once or ParseSchedule")
		return
	}
	if err := scheduleFault(s); err != nil {
		v.add("Schedule", "%s", strings.TrimPrefix(err.Error(), ErrInvalidSchedule.Error()+": "))
		return
	}
	switch s.(type) {
	case IntervalSchedule, OnceSchedule:
		return // their text forms are short and always read back
	}
	if i, ok := s.(Interval); ok && i.Interval() < MinInterval {
		v.add("Schedule", "interval %v is too short, at least %v is needed", i.Interval(), MinInterval)
		return
	}
	text := s.String()
	if len(text) > maxSchedule {
		v.add("Schedule", "text form is %d bytes long, at most %d are allowed", len(text), maxSchedule)
		return
	}
	if _, err := ParseSchedule(text); err != nil {
		v.add("Schedule", "text form cannot be read back: %v", err)
	}
}

// scheduleFault returns what a schedule itself finds wrong with it.
func scheduleFault(s Schedule) error {
	switch s := s.(type) {
	case IntervalSchedule: // by itself, since it is most common and known without a search for methods
		return s.fault()
	case interface{ fault() error }:
		return s.fault()
	}
	return nil
}

func (v *validation) payload(p json.RawMessage) {
	switch {
	case len(p) > MaxPayload:
		v.add("Payload", "is %d bytes long, at most %d are allowed", len(p), MaxPayload)
	case len(p) > 0 && !json.Valid(p):
		v.add("Payload", "is not valid JSON")
	}
}

func (v *validation) known(field string, value int, names []string) {
	if value >= len(names) {
		v.unknown(field, value, names)
	}
}

func (v *validation) unknown(field string, value int, names []string) {
	v.add(field, "unknown policy value %d, have %s", value, strings.Join(names, ", "))
}

func (v *validation) duration(field string, d time.Duration) {
	if d < 0 || d > maxDuration {
		v.badDuration(field, d)
	}
}

func (v *validation) badDuration(field string, d time.Duration) {
	if d < 0 {
		v.add(field, "must not be negative")
	} else {
		v.add(field, "must not be longer than a hundred years")
	}
}

func (v *validation) count(field string, n int) {
	if n < 0 || n > 1_000_000 {
		v.badCount(field, n)
	}
}

func (v *validation) badCount(field string, n int) {
	if n < 0 {
		v.add(field, "must not be negative")
	} else {
		v.add(field, "must not be larger than a million")
	}
}

func (v *validation) retry(r Retry) {
	if r == (Retry{}) {
		return
	}
	v.count("Retry.MaxAttempts", r.MaxAttempts)
	v.duration("Retry.Initial", r.Initial)
	v.duration("Retry.Max", r.Max)
	if r.Multiplier != 0 && !(r.Multiplier >= 1 && r.Multiplier <= 1000) {
		v.add("Retry.Multiplier", "must be between 1 and 1000")
	}
	if !(r.Jitter >= 0 && r.Jitter <= 1) {
		v.add("Retry.Jitter", "must be between 0 and 1")
	}
}

func (v *validation) labels(labels map[string]string) {
	if n := len(labels); n > maxLabels {
		v.add("Labels", "has %d entries, at most %d are allowed", n, maxLabels)
		return
	}
	if len(labels) == 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if reason := textFault(key, true); reason != "" {
			v.add("Labels", "key %q %s", clip(key, 64), reason)
		}
		if reason := textFault(labels[key], false); reason != "" {
			v.add("Labels", "value of %q %s", clip(key, 64), reason)
		}
	}
}
