package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/punctual-go/punctual"
)

// MaxDefinitions bounds the decoded definitions that a store keeps.
const MaxDefinitions = 10_000

// admitted is how many definitions come up, while there is no room, for one that is kept.
const admitted = 8

// Admits reports whether another definition is to be kept beside so many. Where more tasks are due in turn than there is room for, each that comes
// in puts out one that would be found again; so once there is no room, few come in.
func Admits(kept int) bool { return kept < MaxDefinitions || rand.N(admitted) == 0 }

// Keep adds a decoded definition to those that a store keeps. When there is no room, any one of the others goes: were it all of them, tasks that
// are due in turn would find their definitions gone each time.
func Keep[T any](kept map[string]T, key string, definition T) {
	if _, known := kept[key]; !known && len(kept) >= MaxDefinitions {
		for other := range kept {
			delete(kept, other)
			break
		}
	}
	kept[key] = definition
}

// Definitions are decoded definitions of a store that reads their texts with the tasks. They are kept by their texts, so that a firing does not
// parse its schedule again, and without the id, which is what a text begins with: of tasks that differ in nothing else only one has to be
// decoded, however many come due. The zero value is empty; several may use it at the same time.
type Definitions struct {
	mu   sync.Mutex // guards all below
	kept map[string]*punctual.Task
}

// Decode enters the definition of a task into a record, which has the revision already. Of a text in bytes it keeps nothing.
func Decode[T string | []byte](d *Definitions, r *punctual.Record, id string, text T, format int) error {
	if format > punctual.TaskFormat {
		return fmt.Errorf("task %q was written by a newer version of the library (format %d)", id, format)
	}
	key, withoutID := behindID(text, id)
	d.mu.Lock()
	known := d.kept[string(key)]
	admits := known == nil && Admits(len(d.kept))
	d.mu.Unlock()
	revision := r.Task.Revision
	if known != nil {
		r.Task = *known
		own(&r.Task)
		if withoutID {
			r.Task.ID = id
		}
	} else if err := r.Task.UnmarshalJSON([]byte(text)); err != nil { // json.Unmarshal would read it twice
		return fmt.Errorf("definition of task %q cannot be read: %w", id, err)
	}
	if admits && (r.Task.ID == id || !withoutID) { // or it says another id later on
		d.keep(string(key), CloneTask(r.Task))
	}
	r.Task.Revision = revision
	return nil
}

// keep keeps a definition that nobody changes.
func (d *Definitions) keep(key string, definition punctual.Task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil {
		d.kept = make(map[string]*punctual.Task)
	}
	Keep(d.kept, key, &definition)
}

// idFirst is what the text of a definition begins with, before the id.
const idFirst = `{"id":"`

// behindID returns what stands behind the id in the text of a definition; all of it and false when it does not begin with that id, or writes it
// with an escape.
func behindID[T string | []byte](text T, id string) (behind T, found bool) {
	end := len(idFirst) + len(id)
	if len(text) <= end || text[end] != '"' || string(text[:len(idFirst)]) != idFirst || string(text[len(idFirst):end]) != id || strings.Contains(id, `\`) {
		return text, false
	}
	return text[end:], true
}

// CloneTask makes sure that a definition that is handed out shares nothing with one that is kept.
func CloneTask(t punctual.Task) punctual.Task {
	own(&t)
	return t
}

// own gives a copy of a task its own of what can be changed.
func own(t *punctual.Task) { t.Payload, t.Labels = slices.Clone(t.Payload), maps.Clone(t.Labels) }
