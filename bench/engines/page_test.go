package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/report"
)

const document = "../../docs/benchmarks.md"

func TestThePageAndItsPlotsTellWhatTheResultsBesideItSay(t *testing.T) {
	r, err := load(filepath.Join(folder(document), resultsFile))
	require.NoError(t, err)
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	for part, want := range r.parts() {
		_, told, _, err := report.Cut(string(text), part)
		require.NoError(t, err)
		assert.Equal(t, want, told, "run go run ./engines -again ../docs/benchmarks.md in bench")
	}
	for name, want := range r.plots() {
		drawn, err := os.ReadFile(filepath.Join(folder(document), name))
		require.NoError(t, err)
		assert.True(t, want == string(drawn), "%s is stale: run go run ./engines -again ../docs/benchmarks.md in bench", name)
		assert.Contains(t, string(text), "](benchmarks/"+name+")")
	}
	for _, sc := range scenarios {
		assert.True(t, r.has(sc.key), "the results lack the scenario %s", sc.key)
	}
	assert.Len(t, r.libraries(), len(libraries))
}

// sample are results with all that the page has to write: spreads, something cut short, something that gave up.
func sample() *results {
	r := &results{
		Date: "2026-01-02", Machine: machine.Machine{CPU: "Model <1>", CPUs: 2, Memory: 8e9, OS: "linux/amd64", Go: "go1.2.3"},
		Versions: map[string]string{"punctual": "this revision", "robfig": "v3.0.1"},
		Size:     size{Register: 1_000_000, Slow: 10_000, Rounds: 3, Cap: 10 * time.Second, Growth: []int{10, 100}, GrowthRounds: 1},
		Took:     125 * time.Second, Others: 0.25,
	}
	for _, rate := range []float64{200_000, 300_000, 100_000} {
		r.add("register", 0, "punctual", outcome{Values: values{"rate": rate, "bytes": 300}})
	}
	r.add("register", 0, "robfig", outcome{Values: values{"rate": 5, "bytes": 100, "done": 50}})
	r.add("fires", 0, "punctual", outcome{Values: values{"p50": 0.001, "p99": 0.1, "cpu": 0.2, "fired": 1}})
	r.add("fires", 0, "robfig", outcome{Reason: "10,000 not registered in 2 s"})
	r.add(growthKey, 10, "punctual", outcome{Values: values{"register": 1e-6, "bytes": 300, "start": 1e-5, "reschedule": 1e-6, "remove": 1e-6}})
	r.add(growthKey, 100, "punctual", outcome{Values: values{"register": 2e-6, "bytes": 300, "start": 1e-5, "reschedule": 1e-6, "remove": 1e-6}})
	r.add(growthKey, 10, "robfig", outcome{Values: values{"register": 1e-6}})
	r.add(growthKey, 100, "robfig", outcome{Reason: "it is too slow"})
	return r
}

func TestTheOverviewHasTheMedians(t *testing.T) {
	assert.Equal(t, `| scenario | figure | Punctual | robfig/cron |
| --- | --- | ---: | ---: |
| register 1,000,000 before the start | tasks/s | 200 k/s | 5/s |
|  | each | 300 B | 100 B |
| 10,000 fires/s | late p50 | 1 ms | – |
|  | late p99 | 100 ms | – |
|  | cores | 0.200 | – |
|  | of all | 100 % | – |
`, sample().overview())
}

func TestTheDetailsHaveTheSpreadAndTheReasons(t *testing.T) {
	text := sample().details()
	assert.Contains(t, text, "### Register 1,000,000 before the start\n\n")
	assert.Contains(t, text, "| Punctual | 200 k/s (100 k/s – 300 k/s) | 300 B |\n")
	assert.Contains(t, text, "| robfig/cron | 5/s, 50 in 10 s | 100 B |\n")
	assert.Contains(t, text, "| robfig/cron | 10,000 not registered in 2 s |  |  |  |\n")
}

func TestTheGrowthSaysWhereALineEnds(t *testing.T) {
	text := sample().growth()
	assert.Contains(t, text, "| register one | 10 | 100 |\n| --- | ---: | ---: |\n| Punctual | 1 µs | 2 µs |\n| robfig/cron | 1 µs |  |\n")
	assert.Contains(t, text, "- robfig/cron ends early: it is too slow.\n")
	assert.NotContains(t, text, "Punctual ends")
}

func TestTheBasisNamesDateMachineVersionsAndWhatElseRan(t *testing.T) {
	r := sample()
	assert.Equal(t, "2026-01-02. 2 CPUs (Model <1>), 8 GB of memory, linux/amd64, go1.2.3, GC and GOMAXPROCS as they are by default. "+
		"Punctual this revision, robfig/cron v3.0.1. Rounds: 3, of the growth 1. The run took 2 min 5 s; other processes used 0.25 cores meanwhile.\n", r.basis())
	r.Size.Long = quickSize.Long
	assert.Contains(t, r.basis(), "2026-01-02, a short run (`-quick`). 2 CPUs")
	r.Nice = -15
	assert.Contains(t, r.basis(), "used 0.25 cores meanwhile, over which this one had precedence (nice -15).")
	r.Nice = 0
	r.Others, r.Machine.CPU, r.Machine.Memory = -1, "", 0
	assert.Contains(t, r.basis(), "2 CPUs, linux/amd64")
	assert.NotContains(t, r.basis(), "other processes")
}

func TestPlotsAreWellFormedForLightAndDarkPages(t *testing.T) {
	for name, drawing := range sample().plots() {
		for decoder := xml.NewDecoder(strings.NewReader(drawing)); ; {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, name)
		}
		assert.Contains(t, drawing, "prefers-color-scheme:dark", name)
		assert.Contains(t, drawing, ">Punctual<", name)
		assert.Contains(t, drawing, ">robfig/cron<", name)
		assert.NotRegexp(t, `NaN|Inf`, drawing, name)
		assert.Less(t, len(drawing), 40_000, name)
	}
}

func TestResultsSurviveTheirFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), resultsFile)
	require.NoError(t, sample().save(name))
	r, err := load(name)
	require.NoError(t, err)
	assert.Equal(t, sample(), r)
}
