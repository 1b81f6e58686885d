package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// each runs a test for every example.
func each(t *testing.T, test func(t *testing.T, e example)) {
	t.Helper()
	for _, group := range groups {
		for _, e := range group.cases {
			t.Run(group.title+"/"+e.name, func(t *testing.T) { test(t, e) })
		}
	}
}

func TestOursGivesTheExpectedInstantsInEveryCase(t *testing.T) {
	ours := libraries[0]
	require.Equal(t, "punctual", ours.key)
	each(t, func(t *testing.T, e example) {
		loc, err := time.LoadLocation(e.zone)
		require.NoError(t, err)
		following, err := ours.follow(e.expr, loc, at(t, e.after))
		if e.never {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		var got []string
		for i := range e.want {
			next, err := following(i)
			require.NoError(t, err)
			got = append(got, next.In(loc).Format(layout))
		}
		assert.Equal(t, e.want, got)
	})
}

// A typing error in a case would blame libraries: each instant has to be one that the clock of its zone shows.
func TestInstantsOfCasesAreReadingsOfTheirZone(t *testing.T) {
	each(t, func(t *testing.T, e example) {
		loc, err := time.LoadLocation(e.zone)
		require.NoError(t, err)
		before := at(t, e.after)
		assert.Equal(t, e.after, before.In(loc).Format(layout))
		assert.Equal(t, e.never, len(e.want) == 0)
		for _, text := range e.want {
			next := at(t, text)
			assert.Equal(t, text, next.In(loc).Format(layout))
			assert.True(t, next.After(before), "%s is not after the one before it", text)
			before = next
		}
	})
}

func TestAMisspelledInstantOfACaseIsAnError(t *testing.T) {
	bad := example{name: "bad", expr: "* * * * *", zone: "UTC", after: "2026-01-01", want: []string{"noon"}}
	_, err := bad.ask(libraries[0])
	assert.ErrorContains(t, err, "bad")
	_, err = bad.expected()
	assert.ErrorContains(t, err, "bad")
	_, err = evaluate(t.Context(), []group{{cases: []example{bad}}}, libraries[:1], limit)
	assert.Error(t, err)
}
