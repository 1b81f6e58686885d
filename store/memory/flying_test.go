package memory

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Results of a burst come when thousands of other runs have started since: each that is not found here is sought among all tasks.
func TestMostRunningRowsAreFoundAmongThoseThatRun(t *testing.T) {
	s := New()
	var rows []*row
	for i := range 4000 {
		r := s.rows.at(s.rows.take())
		id := seekID(fmt.Sprintf("run-%d", i))
		r.self, r.id = ref(i+1), id.runID
		s.addFlying(r)
		rows = append(rows, r)
	}
	found := 0
	for _, r := range rows {
		id := seekID(s.idOf(r))
		if other := s.findFlying(&id); other != nil {
			assert.Same(t, r, other)
			found++
		}
	}
	assert.Greater(t, found, len(rows)*9/10)
	assert.LessOrEqual(t, len(s.flying.places), mostPlaces)
	for _, r := range rows {
		s.dropFlying(r)
	}
	assert.Zero(t, s.flying.count)
	for _, r := range rows {
		id := seekID(s.idOf(r))
		assert.Nil(t, s.findFlying(&id))
	}
}
