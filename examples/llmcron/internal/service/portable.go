package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/punctual-go/punctual"
)

// portable is a task in a file: what a client sends, and the id that it keeps.
type portable struct {
	ID    string `yaml:"id,omitempty"`
	Input `yaml:",inline"`
}

type document struct {
	Tasks []portable `yaml:"tasks"`
}

// Imported says what an import did.
type Imported struct {
	Created   []string `json:"created"`
	Changed   []string `json:"changed"`
	Unchanged []string `json:"unchanged"`
}

// ErrNotYAML reports a file that cannot be read; its text says where.
var ErrNotYAML = errors.New("the file is not a list of tasks in YAML")

// portableID is what an id in a file may be: it stands in addresses, where a slash or two dots would name another task.
var portableID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)

// maxImport bounds how many tasks one file may hold.
const maxImport = 10_000

// Export writes all tasks as YAML, without their API keys.
func (s *Service) Export(ctx context.Context) ([]byte, error) {
	var doc document
	for after := ""; ; {
		snaps, err := s.scheduler.Tasks(ctx, punctual.TaskQuery{Limit: punctual.MaxLimit, After: after})
		if err != nil {
			return nil, err
		}
		for _, snap := range snaps {
			var d definition
			if err := json.Unmarshal(snap.Task.Payload, &d); err != nil {
				return nil, fmt.Errorf("task %q cannot be read: %w", snap.Task.ID, err)
			}
			doc.Tasks = append(doc.Tasks, portable{snap.Task.ID, d.input(snap.Task)})
		}
		if len(snaps) < punctual.MaxLimit {
			break
		}
		after = snaps[len(snaps)-1].Task.ID
	}
	var out bytes.Buffer
	out.WriteString("# Tasks of llmcron. API keys are not part of it: an import keeps those that are there.\n")
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(doc); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// input is a definition as a client would send it; what is not set is left out.
func (d *definition) input(task punctual.Task) Input {
	enabled := !task.Disabled
	return Input{
		Name: set(task.Name), APIEndpoint: set(d.APIEndpoint), Model: set(d.Model), MessageContent: set(d.MessageContent),
		API: set(d.API), SystemPrompt: set(d.SystemPrompt), MaxTokens: set(d.MaxTokens), Temperature: d.Temperature, TimeoutSeconds: set(d.TimeoutSeconds),
		Stream: set(d.Stream), FirstTokenSeconds: set(d.FirstTokenSeconds), DailyTokens: set(d.DailyTokens), DailyCost: set(d.DailyCost),
		PromptPrice: set(d.PromptPrice), CompletionPrice: set(d.CompletionPrice), ScheduleType: set(d.ScheduleType),
		IntervalMinutes: set(d.IntervalMinutes), IntervalSeconds: set(d.IntervalSeconds), FixedTime: set(d.FixedTime), Cron: set(d.Cron),
		Timezone: set(d.Timezone), Enabled: &enabled,
	}
}

func set[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Import registers the tasks of a file: one whose id is there is replaced, keeping its key unless the file has one, and one that is the same
// already is left alone; others are created. Everything is checked before anything is changed. Should the store fail in between, what was
// done stays, and the same import can be made again.
func (s *Service) Import(ctx context.Context, file []byte) (Imported, error) {
	done := Imported{Created: []string{}, Changed: []string{}, Unchanged: []string{}}
	var doc document
	decoder := yaml.NewDecoder(bytes.NewReader(file))
	decoder.KnownFields(true)
	if err := decoder.Decode(&doc); err != nil {
		return done, fmt.Errorf("%w: %s", ErrNotYAML, withoutValues(err))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return done, fmt.Errorf("%w: it holds more than one document", ErrNotYAML)
	}
	if len(doc.Tasks) == 0 || len(doc.Tasks) > maxImport {
		return done, fmt.Errorf("%w: it holds %d tasks, and must hold 1 to %d", ErrNotYAML, len(doc.Tasks), maxImport)
	}
	faults, seen := map[string]string{}, map[string]bool{}
	tasks, known := make([]punctual.Task, len(doc.Tasks)), make([]*punctual.Snapshot, len(doc.Tasks))
	for i, p := range doc.Tasks {
		where := fmt.Sprintf("tasks[%d].", i)
		if p.ID == "" {
			p.ID = newID()
		} else if !portableID.MatchString(p.ID) {
			faults[where+"id"] = "must be letters, digits and - _ . and begin with a letter or digit"
			continue
		}
		if seen[p.ID] {
			faults[where+"id"] = fmt.Sprintf("%q is there twice", p.ID)
		}
		seen[p.ID] = true
		var old definition
		var base punctual.Task
		snap, err := s.scheduler.Task(ctx, p.ID)
		switch {
		case err == nil:
			known[i] = &snap
			var stored definition
			if err := json.Unmarshal(snap.Task.Payload, &stored); err == nil {
				old = definition{SealedKey: stored.SealedKey, KeyMask: stored.KeyMask}
			}
			base.Revision = snap.Revision
		case !errors.Is(err, punctual.ErrTaskNotFound):
			return done, err
		}
		var bad *Invalid
		tasks[i], err = s.build(p.ID, old, base, p.Input)
		if errors.As(err, &bad) {
			for field, reason := range bad.Fields {
				faults[where+field] = reason
			}
		} else if err != nil {
			return done, err
		}
	}
	if len(faults) > 0 {
		return done, &Invalid{faults}
	}
	for i, task := range tasks {
		if err := s.scheduler.Ensure(ctx, task); err != nil {
			return done, fmt.Errorf("task %q: %w", task.ID, err)
		}
		if known[i] == nil {
			done.Created = append(done.Created, task.ID)
			continue
		}
		now, err := s.scheduler.Task(ctx, task.ID)
		if err != nil {
			return done, err
		}
		if now.Revision == known[i].Revision {
			done.Unchanged = append(done.Unchanged, task.ID)
		} else {
			done.Changed = append(done.Changed, task.ID)
		}
	}
	return done, nil
}

// withoutValues is a YAML error without what stood in the file, which may be a key.
func withoutValues(err error) string {
	var wrong *yaml.TypeError
	text := err.Error()
	if errors.As(err, &wrong) && len(wrong.Errors) > 0 {
		text = wrong.Errors[0]
	}
	if before, _, found := strings.Cut(text, "`"); found {
		return before + "a value of the wrong type"
	}
	return strings.TrimPrefix(text, "yaml: ")
}
