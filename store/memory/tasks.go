package memory

import (
	"hash/maphash"
	"iter"
	"maps"
	"strings"
)

// tasks keeps the tasks, ghosts included, and finds them by id. Ids are hashed before the map gets to see them: what grows is then a map of
// numbers, which does not look at a million ids again each time.
type tasks struct {
	slab[task]
	seed   maphash.Seed
	byHash map[uint64]ref
	others map[string]ref // those whose hash was another's when they came
}

func newTasks() tasks {
	return tasks{seed: maphash.MakeSeed(), byHash: make(map[uint64]ref)}
}

// get returns the task of an id; nil when there is none.
func (m *tasks) get(id string) *task {
	if n := m.byHash[m.hash(id)]; n != 0 {
		if t := m.at(n); t.id == id {
			return t
		}
	}
	if n := m.others[id]; n != 0 {
		return m.at(n)
	}
	return nil
}

// add makes a task that is not there yet: it has an id and nothing else.
func (m *tasks) add(id string) *task { return m.addAs(m.hash(id), id) }

func (m *tasks) addAs(hash uint64, id string) *task {
	n := m.take()
	t := m.at(n)
	t.id, t.self = id, n
	switch {
	case m.byHash[hash] == 0:
		m.byHash[hash] = n
	case m.others == nil:
		m.others = map[string]ref{id: n}
	default:
		m.others[id] = n
	}
	return t
}

// remove takes out a task and makes it another's.
func (m *tasks) remove(t *task) {
	if h := m.hash(t.id); m.byHash[h] == t.self {
		delete(m.byHash, h)
	} else {
		delete(m.others, t.id)
	}
	m.give(t.self)
}

// all yields the tasks in no order. They may change while they are walked, if not at the same time.
func (m *tasks) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for _, n := range m.byHash {
			if !yield(m.at(n)) {
				return
			}
		}
		for n := range maps.Values(m.others) {
			if !yield(m.at(n)) {
				return
			}
		}
	}
}

func (m *tasks) hash(id string) uint64 { return maphash.String(m.seed, id) }

// byID is the order of tasks in lists.
func (m *tasks) byID(a, b ref) int { return strings.Compare(m.at(a).id, m.at(b).id) }
