package memory

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// inChunks checks what seek and the ends rely on: no chunk is empty or too long, and all is in order.
func inChunks(t *testing.T, l *list[int], want []int) {
	t.Helper()
	var got []int
	for _, chunk := range l.chunks {
		require.NotEmpty(t, chunk)
		require.LessOrEqual(t, len(chunk), maxChunk)
		got = append(got, chunk...)
	}
	require.Equal(t, len(want), len(got))
	require.True(t, slices.Equal(want, got))
}

func TestListAgreesWithASortedSlice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	orders := map[string]func(step int) int{
		"random":     func(int) int { return random.IntN(3000) },
		"ascending":  func(step int) int { return step },
		"descending": func(step int) int { return 20000 - step },
	}
	for name, next := range orders {
		t.Run(name, func(t *testing.T) {
			var l list[int]
			var want []int
			for step := range 8000 {
				value := next(step)
				i, found := slices.BinarySearch(want, value)
				remove := random.IntN(5) == 0
				if step > 6000 && len(want) > 0 { // shrink, so that chunks merge and vanish
					remove, i, found = true, random.IntN(len(want)), true
					value = want[i]
				}
				switch {
				case remove:
					require.Equal(t, found, l.remove(value, cmp.Compare[int]))
					if found {
						want = slices.Delete(want, i, i+1)
					}
				default:
					require.Equal(t, !found, l.add(value, cmp.Compare[int]))
					if !found {
						want = slices.Insert(want, i, value)
					}
				}
				if step%97 == 0 {
					inChunks(t, &l, want)
				}
			}
			inChunks(t, &l, want)
			for _, value := range slices.Clone(want) {
				require.True(t, l.remove(value, cmp.Compare[int]))
			}
			require.True(t, l.empty())
			require.Empty(t, l.chunks)
		})
	}
}

func TestListIsWalkedFromAnyPlaceInBothDirections(t *testing.T) {
	var l list[int]
	var all []int
	for i := range 3 * maxChunk {
		l.add(2*i, cmp.Compare[int])
		all = append(all, 2*i)
	}
	require.Equal(t, 0, l.first())
	require.Equal(t, all[len(all)-1], l.last())
	down := slices.Clone(all)
	slices.Reverse(down)
	require.Equal(t, down, slices.Collect(l.descend(l.end())))
	for _, from := range []int{-1, 0, 1, 2*maxChunk - 1, 2 * maxChunk, 2*maxChunk + 1, 6*maxChunk - 2, 6 * maxChunk} {
		place := l.seek(func(v int) bool { return v >= from })
		i, _ := slices.BinarySearch(all, from)
		require.True(t, slices.Equal(all[i:], slices.Collect(l.ascend(place))), "from %d", from)
		require.True(t, slices.Equal(down[len(all)-i:], slices.Collect(l.descend(place))), "before %d", from)
		for v := range l.ascend(place) {
			require.Equal(t, all[i], v)
			break
		}
	}
}

func TestListAppendsWithoutHalfEmptyChunks(t *testing.T) {
	var l list[int]
	for i := range 10 * maxChunk {
		l.add(i, cmp.Compare[int])
	}
	require.Len(t, l.chunks, 10)
}

func TestQueueYieldsByDueTimeAndThenID(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	tasks := newTasks()
	a := agenda{tasks: &tasks, lanes: make(map[lane]int32)}
	here, there := lane{"here", 0}, lane{"there", 0}
	q, other := a.queues[a.number(here)], a.queues[a.number(there)]
	require.NotSame(t, q, other)
	require.Equal(t, int64(never), q.due())
	entries := make([]ref, 1500)
	due := make(map[ref]int64)
	for i := range entries {
		id := string(rune('a'+i%26)) + string(rune('0'+i/26%20))
		switch {
		case i > 1000: // once the queue knows what most begin with
			id = "the same beginning\xff\xff\xff\xff\xff\xff\xff\xff, again: "[:i%35] + id
		case i < 900:
			id = "the same beginning, " + id
		}
		entries[i] = a.enter(tasks.add(id+strings.Repeat("\x00", i/520)), here)
	}
	for _, e := range entries[:900] {
		due[e] = 50
		a.set(e, 50)
	}
	require.Equal(t, "the same beginning, ", q.prefix)
	for range 20000 {
		e := entries[random.IntN(len(entries))]
		switch random.IntN(4) {
		case 0:
			a.set(e, never)
			delete(due, e)
		case 1:
			a.move(e, there)
			a.set(e, 1)
			delete(due, e)
		default:
			due[e] = int64(random.IntN(50))
			a.move(e, here)
			a.set(e, due[e])
		}
	}
	require.Len(t, q.heap, len(due))
	var last queued
	for i := 0; len(q.heap) > 0; i++ {
		top := q.heap[0]
		require.Equal(t, due[top.entry], top.due)
		require.Equal(t, top.due, q.due())
		require.False(t, i > 0 && (top.due < last.due || top.due == last.due && a.taskOf(top.entry).id < a.taskOf(last.entry).id), "%d after %d", top.due, last.due)
		last = top
		a.leave(top.entry)
		require.Zero(t, a.entries.at(top.entry).place)
	}
}

func TestContainsFoldMatchesASCIILettersInEitherCase(t *testing.T) {
	for _, c := range []struct {
		s, part string
		want    bool
	}{
		{"", "", true},
		{"abc", "", true},
		{"", "a", false},
		{"Nightly Report", "REPORT", true},
		{"report", "reports", false},
		{"aab", "ab", true},
		{"ÄB", "äb", false},
		{"ÄB", "Äb", true},
		{"[", "{", false},
		{"@", "`", false},
	} {
		require.Equal(t, c.want, containsFold(c.s, c.part), "%q in %q", c.part, c.s)
	}
}

// Numbers without leading zeros come in several ascending runs, each of which goes on where it stands.
func TestListTakesIDsThatCountUp(t *testing.T) {
	var l list[string]
	var want []string
	for i := range 20_000 {
		id := strconv.Itoa(i)
		require.True(t, l.add(id, strings.Compare))
		require.False(t, l.add(id, strings.Compare))
		want = append(want, id)
		if i%7 == 0 {
			gone := want[len(want)/2]
			require.True(t, l.remove(gone, strings.Compare))
			require.False(t, l.remove(gone, strings.Compare))
			want = slices.Delete(want, len(want)/2, len(want)/2+1)
		}
	}
	slices.Sort(want)
	require.True(t, slices.Equal(want, slices.Collect(l.ascend(position{}))))
}
