package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAChildThatHangsIsKilledAtTheLimit(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // so that a watchdog that sleeps fails the test instead of stopping it
	defer cancel()
	events, err := run(ctx, order{Trouble: troubleHang}, 200*time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, endHung, events[len(events)-1].End)
}

func TestAPanicOfALibraryIsAnAnswer(t *testing.T) {
	events, err := run(t.Context(), order{Trouble: troublePanic}, time.Minute)
	require.NoError(t, err)
	a := collect(events)
	assert.Equal(t, endPanic, a.End)
	assert.Equal(t, "as ordered", a.Reason)
	assert.Len(t, a.Instants, 1)
}

func TestAChildThatEndsByItselfHasCrashed(t *testing.T) {
	events, err := run(t.Context(), order{Trouble: troubleExit}, time.Minute)
	require.NoError(t, err)
	a := collect(events)
	assert.Equal(t, endCrashed, a.End)
	assert.Len(t, a.Instants, 1)
}

func TestWhatCannotBeDoneIsNoAnswer(t *testing.T) {
	for _, test := range []struct {
		name string
		o    order
		want string
	}{
		{"nothing", order{}, "empty"},
		{"a library that is none", order{Question: &question{Library: "other", Expr: "* * * * *", Zone: "UTC", Count: 1}}, `"other"`},
		{"a zone that is none", order{Question: &question{Library: "robfig", Expr: "* * * * *", Zone: "Mars/Base", Count: 1}}, "Mars/Base"},
	} {
		t.Run(test.name, func(t *testing.T) {
			events, err := run(t.Context(), test.o, time.Minute)
			require.NoError(t, err)
			a := collect(events)
			assert.Equal(t, endCrashed, a.End)
			assert.Contains(t, a.Reason, test.want)
		})
	}
}

func TestAnEndedContextEndsTheChild(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	_, err := evaluate(ctx, groups[:1], libraries[:1], limit)
	assert.ErrorIs(t, err, stop)
}

func TestInstantsBeforeAHangCount(t *testing.T) {
	events, ended, err := read(strings.NewReader(`{"At":"2026-01-01T00:00:00Z"}` + "\n" + `{"At":"2026-0`))
	require.NoError(t, err)
	assert.False(t, ended)
	a := collect(append(events, event{End: endHung}))
	after := time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)
	assert.Equal(t, "2026-01-01 00:00 UTC; then no answer in 5 s", a.text(after, limit))

	_, _, err = read(strings.NewReader("what?\n"))
	assert.ErrorContains(t, err, "what?")
}

func TestAChildAnswersOneEventPerInstant(t *testing.T) {
	var out strings.Builder
	in := `{"Question":{"Library":"punctual","Expr":"30 2 * * *","Zone":"America/New_York","After":"2026-03-07T12:00:00-05:00","Count":2}}`
	require.NoError(t, child(strings.NewReader(in), &out))
	assert.Equal(t, `{"At":"2026-03-08T03:00:00-04:00"}`+"\n"+`{"At":"2026-03-09T02:30:00-04:00"}`+"\n"+`{"End":"done"}`+"\n", out.String())
	assert.Error(t, child(strings.NewReader("{"), io.Discard))
}

func TestLibrariesAreGivenTheirOwnSpelling(t *testing.T) {
	for _, test := range []struct{ expr, quartz, netresearch string }{
		{"30 2 * * *", "0 30 2 * * ?", "30 2 * * *"},
		{"30 2 * * 1-5", "0 30 2 ? * MON-FRI", "30 2 * * 1-5"},
		{"*/20 * * * * *", "*/20 * * * * ?", "*/20 * * * * *"},
		{"0 9 * * 5#2", "0 0 9 ? * FRI#2", "0 9 * * 5#2"},
		{"0 9 * * 5L", "0 0 9 ? * FRIL", "0 9 * * 5#L"},
		{"0 0 L * *", "0 0 0 L * ?", "0 0 L * *"},
		{"0 9 * * 0,7", "0 0 9 ? * SUN,SUN", "0 9 * * 0,7"},
		{"0 9 13 * 5", "0 0 9 13 * FRI", "0 9 13 * 5"},
	} {
		assert.Equal(t, test.quartz, forQuartz(test.expr))
		assert.Equal(t, test.netresearch, forNetresearch(test.expr))
		assert.Equal(t, test.expr, same(test.expr))
	}
}
