package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual/bench/internal/report"
)

const document = "../../docs/peers.md"

// TestMain lets the test program be a child, as the program itself can be.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childFlag {
		exit(child(os.Stdin, os.Stdout))
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // a child that the race detector watches would sleep for a second at its end
	goleak.VerifyTestMain(m)
}

func TestTheDocumentTellsTheAnswersThatLibrariesGiveNow(t *testing.T) {
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	_, told, _, err := report.Cut(string(text), partAnswers)
	require.NoError(t, err)
	now, err := answersPart(t.Context())
	require.NoError(t, err)
	if now == told {
		return
	}
	// The tables are wide: only the lines that differ.
	before, after := strings.Split(told, "\n"), strings.Split(now, "\n")
	for i := range max(len(before), len(after)) {
		if a, b := line(before, i), line(after, i); a != b {
			t.Errorf("line %d of the answers\n says %s\n  now %s", i+1, a, b)
		}
	}
	t.Error("docs/peers.md is stale: run go run ./calendars -write ../docs/peers.md in bench")
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

func TestTheDocumentHasBothParts(t *testing.T) {
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	for _, part := range []string{partAnswers, partTimes} {
		_, content, _, err := report.Cut(string(text), part)
		require.NoError(t, err)
		assert.NotEmpty(t, content, part)
	}
	assert.Contains(t, string(text), "no answer in "+seconds(limit), "the document tells the limit")
}

func TestFlagsThatMeasureNothingAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-length", "0s"}, {"peers.md"}} {
		var out strings.Builder
		assert.Error(t, compare(t.Context(), args, &out), fmt.Sprint(args))
		assert.Empty(t, out.String())
	}
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(layout, text)
	require.NoError(t, err)
	return parsed
}
