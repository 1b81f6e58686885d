package memory

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTasksWhoseHashesAreTheSameAreToldApart(t *testing.T) {
	m := newTasks()
	var part idTable
	var all []*task
	for _, id := range []string{"one", "two", "three", "four"} {
		all = append(all, m.addAs(&part, 7, id)) // at the last of eight places, so that the others come round to the first
	}
	neighbour := m.addAs(&part, 9, "neighbour")
	for removed, one := range all {
		for i, x := range all {
			want := x
			if i < removed {
				want = nil
			}
			require.Same(t, want, m.getAs(&part, 7, x.id), x.id)
		}
		require.Same(t, neighbour, m.getAs(&part, 9, "neighbour"))
		require.Nil(t, m.getAs(&part, 7, "none"))
		part.remove(idPlace{7, one.self})
	}
	require.Equal(t, 1, part.taken)
	require.Same(t, neighbour, m.getAs(&part, 9, "neighbour"))
}

// However ids come and go, and whatever shares a place, each is found as long as it is there.
func TestATableOfIDsIsLikeAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m, want := newTasks(), make(map[string]*task)
	var part idTable
	hash := func(id string) uint32 { return uint32(len(id)) * uint32(id[0]) % 11 }
	for range 20_000 {
		id := strings.Repeat(string('a'+rune(random.IntN(8))), 1+random.IntN(8))
		x := m.getAs(&part, hash(id), id)
		require.Same(t, want[id], x)
		if x == nil {
			want[id] = m.addAs(&part, hash(id), id)
		} else {
			part.remove(idPlace{hash(id), x.self})
			delete(want, id)
		}
		require.Equal(t, len(want), part.taken)
	}
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
