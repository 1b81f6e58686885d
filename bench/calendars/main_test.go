package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
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
	_, told, _, err := cut(string(text), partAnswers)
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
		_, content, _, err := cut(string(text), part)
		require.NoError(t, err)
		assert.NotEmpty(t, content, part)
	}
	assert.Contains(t, string(text), "no answer in "+seconds(limit), "the document tells the limit")
}

func TestRewriteReplacesPartsAndNothingElse(t *testing.T) {
	name := filepath.Join(t.TempDir(), "d.md")
	page := func(answers, times string) string {
		return "# Page\n\n<!-- answers: begin -->\n\n" + answers + "\n<!-- answers: end -->\n\nbetween\n\n<!-- times: begin -->\n\n" + times + "\n<!-- times: end -->\n\nbehind\n"
	}
	require.NoError(t, os.WriteFile(name, []byte(page("", "old\n")), 0o600))
	for range 2 { // what was written can be replaced
		require.NoError(t, rewrite(name, map[string]string{partAnswers: "| a |\n", partTimes: "| t |\n"}))
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, page("| a |\n", "| t |\n"), string(text))
	}
}

func TestRewriteLeavesADocumentWithoutMarkersAlone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "d.md")
	text := "<!-- answers: begin -->\n\n\n<!-- answers: end -->\n"
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	err := rewrite(name, map[string]string{partAnswers: "x\n", partTimes: "y\n"})
	require.ErrorContains(t, err, "<!-- times: begin -->")
	now, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, text, string(now))
}

func TestEveryLibraryHasAVersion(t *testing.T) {
	for _, lib := range libraries {
		version, err := lib.version()
		require.NoError(t, err)
		assert.Regexp(t, `^(v\d+\.\d+\.\d+|this revision)$`, version, lib.title)
	}
	_, err := library{module: "example.com/none"}.version()
	assert.ErrorContains(t, err, "example.com/none")
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
