package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRewriteReplacesPartsAndNothingElse(t *testing.T) {
	name := filepath.Join(t.TempDir(), "d.md")
	page := func(answers, times string) string {
		return "# Page\n\n<!-- answers: begin -->\n\n" + answers + "\n<!-- answers: end -->\n\nbetween\n\n<!-- times: begin -->\n\n" + times + "\n<!-- times: end -->\n\nbehind\n"
	}
	require.NoError(t, os.WriteFile(name, []byte(page("", "old\n")), 0o600))
	for range 2 { // what was written can be replaced
		require.NoError(t, Rewrite(name, map[string]string{"answers": "| a |\n", "times": "| t |\n"}))
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, page("| a |\n", "| t |\n"), string(text))
	}
}

func TestRewriteLeavesADocumentWithoutMarkersAlone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "d.md")
	text := "<!-- answers: begin -->\n\n\n<!-- answers: end -->\n"
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	err := Rewrite(name, map[string]string{"answers": "x\n", "times": "y\n"})
	require.ErrorContains(t, err, "<!-- times: begin -->")
	now, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, text, string(now))
}

func TestOnlyModulesOfTheProgramHaveAVersion(t *testing.T) {
	version, err := Version("github.com/punctual-go/punctual")
	require.NoError(t, err)
	assert.Equal(t, "this revision", version)
	_, err = Version("example.com/none")
	assert.ErrorContains(t, err, "example.com/none")
}

func TestTheMedianIsTheMiddle(t *testing.T) {
	assert.InDelta(t, 2, Median([]float64{9, 1, 2}), 0)
	assert.InDelta(t, 2.5, Median([]float64{9, 1, 2, 3}), 0)
}
