package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAFullCacheOfDefinitionsGivesUpOne(t *testing.T) {
	kept := make(map[string]int)
	for i := range MaxDefinitions {
		Keep(kept, fmt.Sprint(i), i)
	}
	Keep(kept, "7", -7)
	assert.Len(t, kept, MaxDefinitions)
	assert.Equal(t, -7, kept["7"])
	assert.Contains(t, kept, "0", "who is known already needs no room")
	Keep(kept, "new", 1)
	assert.Len(t, kept, MaxDefinitions, "one for one")
	assert.Equal(t, 1, kept["new"])
}
