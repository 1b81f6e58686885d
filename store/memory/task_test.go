package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// What a decide function is shown is the task's own, whichever was shown before it: with the same policies, with others, or with others that have taken the
// place of the same.
func TestEachTaskIsShownAsItIs(t *testing.T) {
	s := New()
	define := func(id string, d punctual.Task) *task {
		one := s.tasks.get(id)
		if one == nil {
			one = s.tasks.add(id)
			one.exists = true
			s.sorted.add(one.self, s.tasks.byID)
		}
		d.ID, d.Schedule = id, punctual.Every(time.Hour)
		s.define(one, &d)
		return one
	}
	shown := func(one *task) {
		t.Helper()
		var want punctual.Task
		s.definition(one, &want)
		var v punctual.View
		s.view(&v, one, nil, "")
		require.Equal(t, want, v.Record.Task)
	}
	plain, busy := punctual.Task{Kind: "plain"}, punctual.Task{
		Kind: "busy", Disabled: true, OnRegister: punctual.RunImmediatelyOnRegister, FirstDelay: 1, Overlap: punctual.OverlapQueue, MaxActive: 2, MaxQueued: 3,
		ConcurrencyKey: "key", ConcurrencyLimit: 4, Priority: 5, Misfire: punctual.MisfireSkip, MisfireGrace: 6, MisfireLimit: 7, Retry: punctual.Retry{MaxAttempts: 8},
		Timeout: 9, Lost: punctual.LostMark, Name: "name", Payload: []byte("1"), Labels: map[string]string{"a": "b"}, Trace: "trace", Revision: 10,
	}
	for _, one := range []*task{define("a", plain), define("b", plain), define("c", busy), define("d", plain)} {
		shown(one)
	}
	for i := range 10 {
		again := define("d", punctual.Task{Kind: fmt.Sprint(i)}) // the only one with its policies
		shown(again)
		s.remove(again, false)
	}
}
