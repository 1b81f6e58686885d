package ledger

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
)

func TestLeftCountsWhatKindsMayStillStart(t *testing.T) {
	l := Left{"a": 2, "b": 0}
	assert.True(t, l.Admits("a") && l.Admits("c"))
	assert.False(t, l.Admits("b"))
	pending := []punctual.Run{{Kind: "c"}, {Kind: "a"}}
	assert.Equal(t, 5, l.Slots(5, "c", nil))
	assert.Equal(t, 2, l.Slots(5, "a", nil))
	assert.Equal(t, 2, l.Slots(5, "c", pending))
	assert.Equal(t, 1, l.Slots(1, "c", pending))
	assert.Equal(t, 0, l.Slots(5, "b", pending))
	assert.Equal(t, 0, l.Slots(-1, "c", nil))
	l.Take("a")
	l.Take("a")
	l.Take("c")
	assert.Equal(t, Left{"a": 0, "b": 0}, l, "kinds without a limit are not counted")
	l.Return("a")
	l.Return("c")
	assert.Equal(t, Left{"a": 1, "b": 0}, l)
	var none Left
	none.Take("a")
	none.Return("a")
	assert.True(t, none.Admits("a"))
	assert.Equal(t, 3, none.Slots(3, "a", pending))
}
