package punctual

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever other definitions are decoded at the same time, each has its own schedule, and those of one text share it.
func TestDecodedDefinitionsShareSchedules(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 2000 { // more than there is room for
				want := fmt.Sprintf("cron %d %d * * * Europe/Berlin", i%60, i/60%24)
				var task Task
				if assert.NoError(t, task.UnmarshalJSON([]byte(`{"id":"t","schedule":"`+want+`"}`))) {
					assert.Equal(t, want, task.Schedule.String())
				}
			}
		})
	}
	all.Wait()

	for range 2 {
		_, err := sharedSchedule("every 0s")
		require.ErrorIs(t, err, ErrInvalidSchedule, "what is wrong is not kept")
	}
	definition := []byte(`{"id":"t","schedule":"every 7m"}`)
	var task Task
	require.NoError(t, task.UnmarshalJSON(definition))
	again := testing.AllocsPerRun(100, func() { _, _ = sharedSchedule("every 7m") })
	assert.Zero(t, again)
}
