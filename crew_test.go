package punctual

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Otherwise an attempt could wait for the end of another, or each would have a goroutine of its own.
func TestOneGoroutineIsOnItsWayWhileAnAttemptWaits(t *testing.T) {
	var c crew
	assert.False(t, c.call(), "nothing waits")
	first, second, third := &flight{}, &flight{}, &flight{}
	c.push(first)
	assert.True(t, c.call())
	c.push(second)
	c.push(third)
	assert.False(t, c.call(), "one is on its way")

	c.coming = false // it arrives
	assert.Same(t, first, c.pop())
	assert.True(t, c.call(), "what it takes may last, and another attempt waits")
	assert.Same(t, second, c.pop())
	assert.False(t, c.call())

	c.coming = false
	assert.Same(t, third, c.pop())
	assert.False(t, c.call(), "nothing waits")
	assert.Nil(t, c.pop())
	c.push(first)
	assert.Same(t, first, c.pop())
}
