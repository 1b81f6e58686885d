package punctual

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plainTasks name all that a definition can say.
var plainTasks = []Task{
	{ID: "short", Schedule: Every(time.Hour)},
	{
		ID: "long", Name: "Überschrift für Kunde 7", Kind: "llm", Schedule: Every(90 * time.Minute).Aligned(), Payload: json.RawMessage(`{"a":[1,{"b":"}]\"\\"}],"c":null}`),
		Disabled: true, OnRegister: WaitForSchedule, FirstDelay: time.Second, Overlap: OverlapQueue, MaxActive: 3, MaxQueued: 4, ConcurrencyKey: "host",
		ConcurrencyLimit: 5, Priority: -6, Misfire: MisfireRunAll, MisfireGrace: 7 * time.Minute, MisfireLimit: 8,
		Retry:   Retry{MaxAttempts: 9, Initial: time.Second, Max: time.Hour, Multiplier: 1.5, Jitter: 0.25},
		Timeout: 10 * time.Second, Lost: LostMark, Labels: map[string]string{"team": "a", "": ""}, Trace: "00-11", Revision: 1<<63 - 1,
	},
	{ID: "text", Schedule: Every(time.Hour), Payload: json.RawMessage(`"a,}\""`)},
	{ID: "number", Schedule: Every(time.Hour), Payload: json.RawMessage(`-1.5e3`), Labels: map[string]string{"a": "b"}},
}

// A definition that is read in a second way must not come to mean a second thing; and were it never read that way, nobody would notice.
func TestPlainDefinitionsAreReadAsEncodingJSONReadsThem(t *testing.T) {
	for _, task := range plainTasks {
		text, err := json.Marshal(task)
		require.NoError(t, err)
		var want, got taskJSON
		require.NoError(t, json.Unmarshal(text, &want))
		require.True(t, plainObject(string(text), got.plainField), "%s", text)
		assert.Equal(t, want, got)
		var back Task
		require.NoError(t, back.UnmarshalJSON(text))
		again, err := json.Marshal(back)
		require.NoError(t, err)
		assert.JSONEq(t, string(text), string(again))
	}
}

func TestDefinitionsThatAreNotPlainAreReadAllTheSame(t *testing.T) {
	for _, text := range []string{
		`{ "id": "a", "schedule": "every 1h" }`,
		`{"id":"\u0061","schedule":"every 1h"}`,
		`{"ID":"a","schedule":"every 1h"}`,
		`{"id":"a","schedule":"every 1h","disabled":false}`,
		`{"id":"a","schedule":"every 1h","retry":null}`,
		`{"id":"a","schedule":"every 1h","of a newer version":1}`,
	} {
		var plain taskJSON
		assert.False(t, plainObject(text, plain.plainField), text)
		var task Task
		require.NoError(t, task.UnmarshalJSON([]byte(text)), text)
		assert.Equal(t, Task{ID: "a", Schedule: Every(time.Hour)}, task, text)
	}
}

func FuzzPlainDefinitions(f *testing.F) {
	for _, task := range plainTasks {
		text, err := json.Marshal(task)
		require.NoError(f, err)
		f.Add(string(text))
	}
	for _, text := range []string{
		``, `{`, `}`, `{}`, `{}}`, `{,}`, `{"id":"a"`, `{"id":"a",}`, `{"id":"a"}}`, `{"id":"a""}`, `{"id":}`, `{"id":"a"x}`, `{"id":"a","id":"b"}`, `{"id":"` + "\xff" + `"}`,
		`{"max_active":+1}`, `{"max_active":01}`, `{"max_active":1.0}`, `{"priority":-0}`, `{"revision":"1"}`, `{"retry":{"jitter":0x1}}`, `{"retry":{"jitter":.5}}`,
		`{"retry":{"max":"1h"},"retry":{"jitter":1}}`, `{"labels":{"a":"b"},"labels":{"c":"d"}}`, `{"labels":{"a":1}}`, `{"labels":{"a":"\n"}}`, `{"payload":{]}`,
		`{"payload":}`, `{"payload":1 }`, `{"payload":[1,2],"id":"a"}`, `{"lost":"no"}`, `{"timeout":"x"}`, `{"disabled":true}`, `{"disabled":1}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want, got taskJSON
		if !plainObject(text, got.plainField) {
			return
		}
		require.NoError(t, json.Unmarshal([]byte(text), &want), text)
		assert.Equal(t, want, got, text)
	})
}
