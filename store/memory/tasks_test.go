package memory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTasksWhoseHashesAreTheSameAreToldApart(t *testing.T) {
	m := newTasks()
	one := m.addAs(m.hash("two"), "one") // as if their hashes were the same
	other := m.addAs(m.hash("three"), "another")
	two, three := m.add("two"), m.add("three")
	require.Same(t, two, m.get("two"))
	require.Same(t, three, m.get("three"))
	require.ElementsMatch(t, []*task{one, other, two, three}, slices.Collect(m.all()))

	m.remove(three)
	require.Nil(t, m.get("three"))
	delete(m.byHash, m.hash("two"))
	require.Same(t, two, m.get("two"), "when the other is gone")
	m.remove(two)
	require.Nil(t, m.get("two"))
}

func TestTasksAreFoundByTheirIDs(t *testing.T) {
	m, want := newTasks(), make(map[string]*task)
	for i := range 1000 {
		x := m.add(fmt.Sprint(i))
		want[x.id] = x
		if i%3 == 0 {
			delete(want, x.id)
			m.remove(x)
		}
	}
	for i := range 1001 {
		require.Same(t, want[fmt.Sprint(i)], m.get(fmt.Sprint(i)))
	}
	for x := range m.all() {
		require.Same(t, want[x.id], x)
		delete(want, x.id)
	}
	require.Empty(t, want)
}
