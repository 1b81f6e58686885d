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

const document = "../../docs/benchmarks-stores.md"

func TestThePageAndItsPlotsTellWhatTheResultsBesideItSay(t *testing.T) {
	r, err := load(filepath.Join(folder(document), resultsFile))
	require.NoError(t, err)
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	for part, want := range r.parts() {
		_, told, _, err := report.Cut(string(text), part)
		require.NoError(t, err)
		assert.Equal(t, want, told, "run go run ./stores -again ../docs/benchmarks-stores.md in bench")
	}
	for name, want := range r.plots() {
		drawn, err := os.ReadFile(filepath.Join(folder(document), name))
		require.NoError(t, err)
		assert.True(t, want == string(drawn), "%s is stale: run go run ./stores -again ../docs/benchmarks-stores.md in bench", name)
		assert.Contains(t, string(text), "](benchmarks-stores/"+name+")")
	}
	for _, sc := range scenariosOf(r.Size) {
		for _, row := range sc.rows {
			assert.NotEmpty(t, r.of(sc.key, row.key), "the results lack %s of %s", row.key, sc.key)
		}
	}
}

// sample are results with all that the page has to write: spreads, ratios, something that failed.
func sample() *results {
	r := &results{
		Date: "2026-01-02", Machine: machine.Machine{CPUs: 2, OS: "linux/amd64", Go: "go1.2.3"}, Took: 90 * time.Second, Others: 0.5,
		Versions: map[string]string{"postgres": "15.1", "river": "v0.1.2"},
		Size:     size{Occurrences: 1000, Rounds: 3, Beats: []int{50}, Together: 2 * time.Second, RiverBeats: 50, HandOvers: 5, Stored: []int{10, 1000}, Claims: 7},
	}
	add := func(scenario, row string, all ...values) {
		for _, v := range all {
			r.add(scenario, row, outcome{Values: v})
		}
	}
	add(groupOccurrences, "engine-postgres", values{"rate": 20_000, "cpu": 1e-4, "process": 0.5, "server": 1}, values{"rate": 30_000, "cpu": 1e-4, "process": 0.5, "server": 1})
	add(groupOccurrences, "bare-postgres", values{"rate": 50_000, "process": 0.25})
	add(groupOccurrences, "river", values{"rate": 10_000, "insert": 40_000, "work": 13_000})
	add(groupOccurrences, "engine-sqlite", values{"rate": 7_000, "process": 1})
	r.add(groupOccurrences, "bare-sqlite", outcome{Reason: "the disk is full"})
	add("every-second-50-0", "engine-postgres", values{"missed": 3, "p50": 0.01, "p99": 0.02, "max": 0.03})
	add("every-second-50-0", "river", values{"missed": 100})
	add(groupHandOver, "engine-postgres", values{"p50": 0.001, "p99": 0.002, "max": 0.003})
	for _, key := range []string{"claims-10", "claims-1000"} {
		add(key, "engine-postgres", values{"few": 0.001, "finish": 0.002, "none": 0.0005})
	}
	add("claims-10", "engine-sqlite", values{"few": 0.001, "finish": 0.002, "none": 0.0005})
	r.add("claims-1000", "engine-sqlite", outcome{Reason: "it was too large"})
	add(groupInstances, "1", values{"rate": 1000, "process": 0.5, "server": 0.5, "io": 0.25})
	add(groupInstances, "2", values{"rate": 1500, "process": 0.75, "server": 1})
	return r
}

func TestTheOccurrencesStandBesideTheBareLoopAndRiver(t *testing.T) {
	text := sample().part(groupOccurrences)
	assert.Contains(t, text, "| PostgreSQL, Scheduler | 25 k/s (20 k/s – 30 k/s) | 50 % | 2.5 × | 100 µs | 0.500 | 1.000 |\n")
	assert.Contains(t, text, "| PostgreSQL, bare loop | 50 k/s | – | 5.0 × | – | 0.250 | – |\n")
	assert.Contains(t, text, "| SQLite, Scheduler | 7000/s | – | – | – | 1.000 | – |\n", "without a bare loop there is no share of it")
	assert.Contains(t, text, "| SQLite, bare loop | failed: the disk is full | – |")
	assert.Contains(t, text, "\nRiver inserts 40 k/s (`InsertManyFast`, 10,000 jobs a call) and works 13 k/s; its row is one after the other.\n")
	assert.NotContains(t, text, "MariaDB", "it was not measured")
}

func TestOtherGroupsHaveTheirTables(t *testing.T) {
	r := sample()
	assert.Contains(t, r.part(groupBeats), "### 50 tasks every second, all at one instant\n")
	assert.Contains(t, r.part(groupBeats), "| PostgreSQL | 3 | 10 ms | 20 ms | 30 ms | – | – |\n")
	assert.Contains(t, r.part(groupBeats), "| River | 100 | – | – | – | – | – |\n")
	assert.Contains(t, r.part(groupHandOver), "| PostgreSQL | 1 ms | 2 ms | 3 ms |\n")
	assert.Contains(t, r.part(groupClaims), "| claim of 10 that are due | 10 stored tasks | 1,000 stored tasks |\n| --- | ---: | ---: |\n| PostgreSQL | 1 ms | 1 ms |\n")
	assert.Contains(t, r.part(groupClaims), "| SQLite | 1 ms | – |\n")
	assert.Contains(t, r.part(groupClaims), "\nSQLite failed with 1,000 stored tasks: it was too large\n")
	assert.Contains(t, r.part(groupInstances), "| 2 | 1500/s | 1.50 × | 88 % |")
	assert.Equal(t, "Not measured.\n", (&results{}).part(groupInstances))
}

func TestTheBasisNamesDateMachineAndVersions(t *testing.T) {
	assert.Equal(t, "2026-01-02. 2 CPUs, linux/amd64, go1.2.3, GC and GOMAXPROCS as they are by default. Punctual this revision, PostgreSQL 15.1, River v0.1.2. "+
		"Rounds of the occurrences and the instances: 3. The run took 1 min 30 s; other processes used 0.50 cores meanwhile.\n", sample().basis())
}

func TestReasonsFitIntoCells(t *testing.T) {
	assert.Equal(t, "a / b", line("a | b\nc"))
	assert.Len(t, []rune(line(strings.Repeat("é", 500))), 201)
}

func TestPlotsAreWellFormed(t *testing.T) {
	plots := sample().plots()
	assert.Len(t, plots, 2)
	for name, drawing := range plots {
		for decoder := xml.NewDecoder(strings.NewReader(drawing)); ; {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, name)
		}
		assert.NotRegexp(t, `NaN|Inf`, drawing, name)
		assert.Contains(t, drawing, ">PostgreSQL", name)
	}
	assert.Empty(t, (&results{}).plots())
}
