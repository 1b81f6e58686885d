package ledger

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

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
			behind := fmt.Sprintf(`","name":"%d","schedule":"every 1h"}`, i)
			if _, kept := d.kept[behind]; kept && round == 1 {
				found++
			}
			var r punctual.Record
			require.NoError(t, Decode(&d, &r, id, `{"id":"`+id+behind, 1))
			require.Equal(t, id, r.Task.ID)
			require.Equal(t, fmt.Sprint(i), r.Task.Name)
		}
		assert.Len(t, d.kept, MaxDefinitions)
	}
	assert.Greater(t, found, tasks*8/10)
}

// Once there is no room, most of what comes up is not kept.
func TestFewDefinitionsAreAdmittedWhenThereIsNoRoom(t *testing.T) {
	assert.True(t, Admits(0))
	assert.True(t, Admits(MaxDefinitions-1))
	in := 0
	for range 8000 {
		if Admits(MaxDefinitions) {
			in++
		}
	}
	assert.InDelta(t, 1000, in, 300)
}

func TestDefinitionsThatDifferInTheIDAloneAreDecodedOnce(t *testing.T) {
	var d Definitions
	task := punctual.Task{Schedule: punctual.Every(time.Hour), Payload: json.RawMessage(`{"a":1}`), Labels: map[string]string{"b": "c"}}
	for i := range 3 {
		task.ID = fmt.Sprint("task-", i)
		text, err := json.Marshal(task)
		require.NoError(t, err)
		r := punctual.Record{Task: punctual.Task{Revision: int64(i)}}
		require.NoError(t, Decode(&d, &r, task.ID, text, 1))
		want := task
		want.Revision = int64(i)
		assert.Equal(t, want, r.Task)
		r.Task.Payload[0], r.Task.Labels["b"] = 'x', "x" // which the next must not see
		clear(text)
	}
	assert.Len(t, d.kept, 1)
}

func TestADefinitionIsWhatItsTextSays(t *testing.T) {
	for _, c := range []struct{ id, text, decoded string }{
		{"a", `{"id":"a","schedule":"every 1h"}`, "a"},
		{"a", `{"id":"b","schedule":"every 1h"}`, "b"},
		{"a", `{"id":"a","schedule":"every 1h","id":"b"}`, "b"},
		{"a", ` {"id":"a","schedule":"every 1h"}`, "a"},
		{"a", `{"schedule":"every 1h","id":"a"}`, "a"},
		{"a", `{"id":"a\\","schedule":"every 1h"}`, `a\`},
		{`a\`, `{"id":"a\\","schedule":"every 1h"}`, `a\`},
		{`a\`, `{"id":"a\",\"kind\":\"b","schedule":"every 1h"}`, `a","kind":"b`},
		{`a"`, `{"id":"a\"","schedule":"every 1h"}`, `a"`},
		{"a&b", `{"id":"a\u0026b","schedule":"every 1h"}`, "a&b"},
	} {
		var d Definitions
		for range 2 {
			var fromText, fromBytes punctual.Record
			require.NoError(t, Decode(&d, &fromText, c.id, c.text, 1), c.text)
			require.NoError(t, Decode(&d, &fromBytes, c.id, []byte(c.text), 1), c.text)
			assert.Equal(t, c.decoded, fromText.Task.ID, c.text)
			assert.Equal(t, fromText, fromBytes, c.text)
			assert.Equal(t, punctual.Every(time.Hour), fromText.Task.Schedule, c.text)
		}
	}
	var d Definitions
	require.NoError(t, Decode(&d, &punctual.Record{}, "a", `{"id":"a","schedule":"every 1h"}`, 1))
	for _, text := range []string{``, `{`, `{"id":"a`, `{"id":"a"`, `{"id":"a"}`, `null`} {
		assert.Error(t, Decode(&d, &punctual.Record{}, "a", text, 1), text)
	}
	assert.Error(t, Decode(&d, &punctual.Record{}, `a\`, `{"id":"a\","schedule":"every 1h"}`, 1), "which is no JSON")
	assert.ErrorContains(t, Decode(&d, &punctual.Record{}, "a", `{"id":"a","schedule":"every 1h"}`, 2), "newer version")
	assert.Len(t, d.kept, 1)
}

func TestAllocsOfAKnownDefinition(t *testing.T) {
	var d Definitions
	text := []byte(`{"id":"a","schedule":"every 1h"}`)
	var r punctual.Record
	assert.Zero(t, testing.AllocsPerRun(100, func() { require.NoError(t, Decode(&d, &r, "a", text, 1)) }))
}
