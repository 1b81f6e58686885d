package ledger

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/punctual-go/punctual"
)

// MaxDefinitions bounds the decoded definitions that a store keeps.
const MaxDefinitions = 10_000

// Keep adds a decoded definition, by the id of its task, to those that a store keeps. When there is no room, any one of the others goes: were it
// all of them, tasks that are due in turn would find their definitions gone each time.
func Keep[T any](kept map[string]T, id string, definition T) {
	if _, known := kept[id]; !known && len(kept) >= MaxDefinitions {
		for other := range kept {
			delete(kept, other)
			break
		}
	}
	kept[id] = definition
}

// Definitions are decoded definitions of a store that reads their texts with the tasks. They are kept with their texts, so that a firing does not
// parse its schedule again. The zero value is empty; several may use it at the same time.
type Definitions struct {
	mu   sync.Mutex // guards all below
	kept map[string]*decoded
}

type decoded struct {
	text string
	task punctual.Task
}

// Decode enters the definition of a task into a record, which has the revision already.
func (d *Definitions) Decode(r *punctual.Record, id, text string, format int) error {
	if format > punctual.TaskFormat {
		return fmt.Errorf("task %q was written by a newer version of the library (format %d)", id, format)
	}
	d.mu.Lock()
	known := d.kept[id]
	d.mu.Unlock()
	if known == nil || known.text != text {
		known = &decoded{text: text}
		if err := known.task.UnmarshalJSON([]byte(text)); err != nil { // json.Unmarshal would read it twice
			return fmt.Errorf("definition of task %q cannot be read: %w", id, err)
		}
		d.mu.Lock()
		if d.kept == nil {
			d.kept = make(map[string]*decoded)
		}
		Keep(d.kept, id, known)
		d.mu.Unlock()
	}
	revision := r.Task.Revision
	r.Task = CloneTask(known.task)
	r.Task.Revision = revision
	return nil
}

// CloneTask makes sure that a definition that is handed out shares nothing with one that is kept.
func CloneTask(t punctual.Task) punctual.Task {
	t.Payload, t.Labels = slices.Clone(t.Payload), maps.Clone(t.Labels)
	return t
}
