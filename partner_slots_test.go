package punctual

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAClaimOfManyThatGotAllLeftMore(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		limit, started int
		next           time.Time
		want           bool
	}{
		{leastOverlap, leastOverlap, now, true},
		{leastOverlap, leastOverlap, now.Add(-1), true},
		{leastOverlap, leastOverlap - 1, now, false},
		{leastOverlap, leastOverlap, now.Add(1), false},
		{leastOverlap, leastOverlap, time.Time{}, false},
		{leastOverlap - 1, leastOverlap - 1, now, false},
	} {
		assert.Equal(t, c.want, (&op{limit: c.limit}).leftMore(&ClaimReply{Started: make([]Run, c.started), Now: now, NextDue: c.next}), "%+v", c)
	}
}

func TestAFewSlotsAreNotWorthAnotherClaim(t *testing.T) {
	s, err := New(struct{ Store }{}, ExecutorFunc(nil), WithConcurrency(1000))
	require.NoError(t, err)
	s.phase = phaseRunning
	s.asked = 1000 - leastOverlap + 1
	_, ok := s.beginBeside()
	assert.False(t, ok)
	s.asked--
	op, ok := s.beginBeside()
	assert.True(t, ok)
	assert.Equal(t, leastOverlap, op.limit)
}
