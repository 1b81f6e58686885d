package memory

import (
	"hash/maphash"
	"iter"
	"maps"
)

// tasks finds tasks by id, ghosts included. Ids are hashed before the map gets to see them: what grows is then a map of numbers, which does not
// look at a million ids again each time.
type tasks struct {
	seed   maphash.Seed
	byHash map[uint64]*task
	others map[string]*task // those whose hash was another's when they came
}

func newTasks() tasks {
	return tasks{seed: maphash.MakeSeed(), byHash: make(map[uint64]*task)}
}

// get returns the task of an id; nil when there is none.
func (m *tasks) get(id string) *task {
	if t := m.byHash[m.hash(id)]; t != nil && t.id == id {
		return t
	}
	return m.others[id]
}

// add enters a task that is not there yet.
func (m *tasks) add(t *task) { m.addAs(m.hash(t.id), t) }

func (m *tasks) addAs(hash uint64, t *task) {
	if m.byHash[hash] == nil {
		m.byHash[hash] = t
		return
	}
	if m.others == nil {
		m.others = make(map[string]*task)
	}
	m.others[t.id] = t
}

// remove takes out a task.
func (m *tasks) remove(t *task) {
	if h := m.hash(t.id); m.byHash[h] == t {
		delete(m.byHash, h)
		return
	}
	delete(m.others, t.id)
}

// all yields the tasks in no order. They may change while they are walked, if not at the same time.
func (m *tasks) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for _, t := range m.byHash {
			if !yield(t) {
				return
			}
		}
		for t := range maps.Values(m.others) {
			if !yield(t) {
				return
			}
		}
	}
}

func (m *tasks) hash(id string) uint64 { return maphash.String(m.seed, id) }
