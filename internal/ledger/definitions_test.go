package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
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

// Tasks that are due in turn, some more of them than there is room for, find most of their definitions as they left them.
func TestDecodedDefinitionsOfMoreTasksThanAreKeptAreMostlyKept(t *testing.T) {
	var d Definitions
	const tasks = MaxDefinitions + MaxDefinitions/10
	found := 0
	for round := range 2 {
		for i := range tasks {
			id := fmt.Sprint("task-", i)
			if _, kept := d.kept[id]; kept && round == 1 {
				found++
			}
			var r punctual.Record
			require.NoError(t, d.Decode(&r, id, `{"id":"`+id+`","schedule":"every 1h"}`, 1))
			require.Equal(t, id, r.Task.ID)
		}
		assert.Len(t, d.kept, MaxDefinitions)
	}
	assert.Greater(t, found, tasks/2)
}
