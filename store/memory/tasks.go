package memory

import (
	"hash/maphash"
	"iter"
	"strings"
)

// tasks keeps the tasks, ghosts included, and finds them by id.
type tasks struct {
	slab[task]
	seed  maphash.Seed
	parts [idParts]idTable // by the first bits of the hash of the id, so that none takes long to grow
}

const idParts = 256

// idTable finds the numbers of tasks by the hashes of their ids: by its last bits a hash has a place of its own, and what finds that taken goes to
// the next free one behind it. Hash and number lie side by side, so that a search seldom looks at a second place in memory, and
// seldom at a task that it does not want.
type idTable struct {
	places []idPlace // a power of two, a quarter of them free at least; none while there are no tasks
	taken  int
}

type idPlace struct {
	hash uint32 // what is left of it besides the first bits
	task ref    // none for a free place
}

func newTasks() tasks { return tasks{seed: maphash.MakeSeed()} }

// get returns the task of an id; nil when there is none.
func (m *tasks) get(id string) *task {
	part, hash := m.part(id)
	return m.getAs(part, hash, id)
}

func (m *tasks) getAs(part *idTable, hash uint32, id string) *task {
	last := len(part.places) - 1
	if last < 0 {
		return nil
	}
	for i := int(hash) & last; ; i = (i + 1) & last {
		p := part.places[i]
		if p.task == 0 {
			return nil
		}
		if p.hash == hash {
			if t := m.at(p.task); t.id == id {
				return t
			}
		}
	}
}

// add makes a task that is not there yet: it has an id and nothing else.
func (m *tasks) add(id string) *task {
	part, hash := m.part(id)
	return m.addAs(part, hash, id)
}

func (m *tasks) addAs(part *idTable, hash uint32, id string) *task {
	n := m.take()
	t := m.at(n)
	t.id, t.self = id, n
	part.add(idPlace{hash, n})
	return t
}

// remove takes out a task and makes it another's.
func (m *tasks) remove(t *task) {
	part, hash := m.part(t.id)
	part.remove(idPlace{hash, t.self})
	m.give(t.self)
}

// all yields the tasks in no order. They may change while they are walked, if not at the same time.
func (m *tasks) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for n := range m.numbers() {
			if !yield(m.at(n)) {
				return
			}
		}
	}
}

// part returns the table of an id, and its hash there.
func (m *tasks) part(id string) (part *idTable, hash uint32) {
	h := maphash.String(m.seed, id)
	return &m.parts[h>>56], uint32(h)
}

// byID is the order of tasks in lists.
func (m *tasks) byID(a, b ref) int { return strings.Compare(m.at(a).id, m.at(b).id) }

func (p *idTable) add(x idPlace) {
	if 4*(p.taken+1) > 3*len(p.places) {
		p.grow()
	}
	p.put(x)
	p.taken++
}

func (p *idTable) put(x idPlace) {
	last := len(p.places) - 1
	i := int(x.hash) & last
	for p.places[i].task != 0 {
		i = (i + 1) & last
	}
	p.places[i] = x
}

func (p *idTable) grow() {
	before := p.places
	p.places = make([]idPlace, max(2*len(before), 8))
	for _, x := range before {
		if x.task != 0 {
			p.put(x)
		}
	}
}

// remove takes out what is there. What stands behind it moves up, unless it is at its own place or would get before it, so that no search ends too
// early.
func (p *idTable) remove(x idPlace) {
	last := len(p.places) - 1
	free := int(x.hash) & last
	for p.places[free] != x {
		free = (free + 1) & last
	}
	p.taken--
	for i := (free + 1) & last; p.places[i].task != 0; i = (i + 1) & last {
		own := int(p.places[i].hash) & last
		if (i-own)&last >= (i-free)&last {
			p.places[free] = p.places[i]
			free = i
		}
	}
	p.places[free] = idPlace{}
}
