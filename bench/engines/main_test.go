package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain lets the test program be a child, as the program itself can be.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == trial.Flag {
		exit(trial.Serve(os.Stdin, os.Stdout, child))
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // a child that the race detector watches would sleep for a second at its end
	goleak.VerifyTestMain(m)
}

func TestAMeasurementInAProcessOfItsOwnComesBackWithItsFigures(t *testing.T) {
	s := tinySize
	s.Register = 10_000
	c := campaign{scenarios: scenarios[:1], libraries: libraries[:2], growth: true, size: s, progress: io.Discard}
	r, err := c.run(t.Context())
	require.NoError(t, err)
	for _, lib := range c.libraries {
		outcomes := r.of(scenarios[0].key, 0, lib.key)
		require.Len(t, outcomes, s.Rounds, lib.key)
		for _, o := range outcomes {
			assert.Positive(t, o.Values["rate"])
			assert.Positive(t, o.Values["bytes"])
		}
		for _, tasks := range s.Growth {
			assert.Len(t, r.of(growthKey, tasks, lib.key), s.GrowthRounds, lib.key)
		}
	}
}

func TestALibraryIsNotAskedAgainForAsManyTasksAsItCouldNotTake(t *testing.T) {
	s := tinySize
	s.Setup = time.Nanosecond
	chosen, err := report.Choose(scenarios, "edit,idle,drain", func(sc scenario) string { return sc.key })
	require.NoError(t, err)
	var progress strings.Builder
	c := campaign{scenarios: chosen, libraries: libraries[1:2], size: s, progress: &progress}
	r, err := c.run(t.Context())
	require.NoError(t, err)
	assert.Contains(t, reasonOf(r.of("edit", 0, "heap")), "registered in 1 ns")
	assert.Equal(t, reasonOf(r.of("edit", 0, "heap")), reasonOf(r.of("idle", 0, "heap")))
	assert.Len(t, r.of("drain", 0, "heap"), s.Rounds, "where none are needed beforehand it is asked")
	assert.Equal(t, 1, strings.Count(progress.String(), "edit, "))
	assert.NotContains(t, progress.String(), "idle, ")
}

func TestFlagsThatMeasureNothingAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "-1"}, {"-scenarios", "none"}, {"-libraries", "heap,none"}, {"page.md"}} {
		var out strings.Builder
		assert.Error(t, compare(t.Context(), args, &out, io.Discard), args)
		assert.Empty(t, out.String())
	}
}
