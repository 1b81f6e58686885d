package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual/bench/internal/trial"
)

// TestMain lets the test program be a child or an instance, as the program itself can be.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == trial.Flag || os.Args[1] == instanceFlag) {
		exit(run(os.Args[1:]))
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // a child that the race detector watches would sleep for a second at its end
	goleak.VerifyTestMain(m)
}

// tinySize is enough to see that something is measured.
var tinySize = size{
	Occurrences: 600, Rounds: 1, Beats: []int{20}, Together: time.Second, RiverLead: time.Second / 2, RiverBeats: 20, Grace: 20 * time.Second,
	HandOvers: 3, Stored: []int{100}, Claims: 3, Limit: 2 * time.Minute,
}

// needs skips what needs a server that is not there.
func needs(t *testing.T, b backend) {
	t.Helper()
	if _, err := b.version(t.Context()); err != nil {
		require.NotEqual(t, "1", os.Getenv("PUNCTUAL_REQUIRE_SERVICES"), "%s is needed: %v", b.title, err)
		t.Skipf("needs %s: %v", b.title, err)
	}
}

// mayBeZero are the figures that can be nothing at that size.
var mayBeZero = map[string]bool{"missed": true, "process": true, "server": true, "cpu": true, "lock": true, "inner": true, "io": true}

// mayBeUnknown are those that only some servers tell.
var mayBeUnknown = map[string]bool{"server": true, "cpu": true, "lock": true, "inner": true, "io": true}

func TestEveryScenarioMeasuresItsRowsAndLeavesNothing(t *testing.T) {
	c := campaign{size: tinySize, progress: io.Discard}
	for _, sc := range scenariosOf(tinySize) {
		for _, r := range sc.rows {
			if sc.group == groupBeats && (r.key == rowEngine+"-postgres" || r.store == "mysql") {
				continue // it takes seconds that are only waited for, and has nothing that a store does alone
			}
			c.places++
			place := placeName(c.places)
			t.Run(sc.key+"/"+r.key, func(t *testing.T) {
				t.Parallel()
				b, err := backendOf(r.store)
				require.NoError(t, err)
				needs(t, b)
				o, err := c.measureAt(t.Context(), sc, r, b, place)
				require.NoError(t, err)
				require.Empty(t, o.Reason)
				for _, f := range sc.figures {
					v, known := o.Values[f.key]
					if assert.True(t, known || mayBeUnknown[f.key], f.key) && known && !mayBeZero[f.key] {
						assert.Positive(t, v, f.key)
					}
				}
				db, err := b.connect(place)
				require.NoError(t, err)
				defer db.Close()
				_, err = columnsOf(t.Context(), db, b.tasks)
				assert.Error(t, err, "what was made is still there")
			})
		}
	}
}

func TestARowThatFailsSaysSoAndTheOthersGoOn(t *testing.T) {
	tiny := tinySize
	tiny.Occurrences = 10
	broken := row{key: "broken", title: "Broken", store: "sqlite"} // of which no child knows
	sound := scenariosOf(tiny)[0]
	i := len(sound.rows) - 1
	require.Equal(t, "sqlite", sound.rows[i].store)
	sound.rows = []row{broken, sound.rows[i]}
	sound.rounds = 2
	c := campaign{size: tiny, scenarios: []scenario{sound}, backends: backends[2:], progress: io.Discard}
	r, err := c.run(t.Context())
	require.NoError(t, err)
	require.Len(t, r.of(sound.key, "broken"), 1, "it is not asked again")
	assert.Contains(t, r.reason(sound.key, "broken"), `there is no "broken"`)
	assert.Empty(t, r.reason(sound.key, sound.rows[1].key))
	assert.Len(t, r.of(sound.key, sound.rows[1].key), 2)
}

func TestAStoreThatIsNotThereIsReported(t *testing.T) {
	t.Setenv("PUNCTUAL_POSTGRES_DSN", "postgres://nobody@127.0.0.1:1/none?sslmode=disable&connect_timeout=5")
	scenarios := scenariosOf(tinySize)
	c := campaign{size: tinySize, scenarios: scenarios[len(scenarios)-1:], backends: backends, progress: io.Discard}
	r, err := c.run(t.Context())
	require.NoError(t, err)
	assert.Contains(t, r.part(groupInstances), "there is no such server")
}

func TestFlagsThatMeasureNothingAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "-1"}, {"-scenarios", "none"}, {"-stores", "sqlite,none"}, {"page.md"}} {
		var out strings.Builder
		assert.Error(t, compare(t.Context(), args, &out, io.Discard), args)
		assert.Empty(t, out.String())
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(page, text, 0o600))
	require.NoError(t, sample().save(filepath.Join(folder(page), resultsFile)))
	require.NoError(t, compare(t.Context(), []string{"-again", page}, io.Discard, io.Discard))
	written, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Contains(t, string(written), sample().part(groupOccurrences))
}
