package postgres

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/internal/ledger"
)

// Tasks that are due in turn, some more of them than there is room for, find most of their definitions as they left them.
func TestDecodedDefinitionsOfMoreTasksThanAreKeptAreMostlyKept(t *testing.T) {
	s := &Store{cache: make(map[string]*decoded)}
	const tasks = ledger.MaxDefinitions + ledger.MaxDefinitions/10
	found := 0
	for round := range 2 {
		for i := range tasks {
			id := fmt.Sprint("task-", i)
			row := taskRow{id: id, format: 1, definition: `{"id":"` + id + `","schedule":"every 1h"}`}
			if _, kept := s.cache[id]; kept && round == 1 {
				found++
			}
			require.NoError(t, s.decode(&row))
			require.Equal(t, id, row.Task.ID)
		}
		assert.Len(t, s.cache, ledger.MaxDefinitions)
	}
	assert.Greater(t, found, tasks/2)
}
