package sqlite

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// Runs are written together if they have in common what the statement says once. Whatever it does not say for each of them either has to be as it is
// in all runs that begin, so that a field which is new to Run cannot be forgotten here.
func TestRunsThatAreWrittenTogetherHaveInCommonWhatIsSaidOnce(t *testing.T) {
	each := map[string]bool{"ID": true, "TaskID": true, "TaskName": true, "ScheduledAt": true, "Revision": true}
	notStored := map[string]bool{"Payload": true, "Labels": true, "Trace": true}
	now := time.Unix(1e9, 0)
	begun := punctual.Run{State: punctual.StateRunning, Attempt: 1, Count: 1, Trigger: punctual.TriggerSchedule, StartedAt: now, CreatedAt: now}
	task := &taskRow{}
	task.Task.Priority = 1
	of := func(run *punctual.Run) (firing, bool) {
		return firingOf(task, &punctual.Change{Status: &punctual.Status{NextRunAt: now}, Insert: []punctual.Run{*run}})
	}
	one, ok := of(&begun)
	assert.True(t, ok)
	b := begun
	assert.True(t, beginAlike(&one, &firing{run: &b, priority: 1}))
	assert.False(t, beginAlike(&one, &firing{run: &b, priority: 2}))
	for i := range reflect.TypeFor[punctual.Run]().NumField() {
		name := reflect.TypeFor[punctual.Run]().Field(i).Name
		if each[name] || notStored[name] {
			continue
		}
		b = begun
		differ(t, reflect.ValueOf(&b).Elem().Field(i))
		other, ok := of(&b)
		assert.False(t, ok && beginAlike(&one, &other), name)
		assert.Equal(t, ok, b.ConcurrencyKey == "" && ledger.Begins(&b), name)
	}
}

// differ gives a field another value.
func differ(t *testing.T, field reflect.Value) {
	t.Helper()
	switch v := field.Addr().Interface().(type) {
	case *time.Time:
		*v = v.Add(time.Hour)
	case *string:
		*v += "x"
	case *bool:
		*v = !*v
	case *punctual.State:
		*v = punctual.StateFailed
	case *punctual.Result:
		v.Output = "x"
	case *[]punctual.Attempt:
		*v = []punctual.Attempt{{}}
	default:
		switch field.Kind() {
		case reflect.Int, reflect.Int64:
			field.SetInt(field.Int() + 1)
		case reflect.Uint8:
			field.SetUint(field.Uint() + 1)
		default:
			t.Errorf("how is a %s to differ?", field.Type())
		}
	}
}

func TestTasksThatMoveTogetherGetTheSameOccurrences(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := func(next, last time.Time) *firing {
		return &firing{status: &punctual.Status{NextRunAt: next, LastOccurrence: last}}
	}
	assert.True(t, moveAlike(f(now, now), f(now.UTC(), now)))
	assert.True(t, moveAlike(f(time.Time{}, now), f(time.Time{}, now)))
	assert.False(t, moveAlike(f(now, now), f(now.Add(time.Microsecond), now)))
	assert.False(t, moveAlike(f(now, now), f(now, now.Add(time.Microsecond))))
	assert.False(t, moveAlike(f(now, now), f(time.Time{}, now)))
}
