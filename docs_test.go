package punctual_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the documentation shows must be what the tests run, and what it points at must be there.

func TestCodeInReadmeAndPackageDocumentationIsRunByTheExamples(t *testing.T) {
	tested := dedent(t, "example_test.go")
	var shown []string
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "README.md"), -1) {
		shown = append(shown, block[1])
	}
	require.NotEmpty(t, shown)
	// In a doc comment, code is what begins with a tab, up to the first line that does not.
	code := regexp.MustCompile(`(?m)(?:^//(?:\t.*)?\n)*^//\t.*\n`).FindString(read(t, "doc.go"))
	require.NotEmpty(t, code)
	shown = append(shown, regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(code, ""))
	for _, block := range shown {
		assert.True(t, strings.Contains(tested, trimLines(block)), "example_test.go does not contain, in one piece:\n%s", block)
	}
}

func TestLinksInDocumentationPointAtFiles(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	checked := 0
	for _, name := range documents(t) {
		for _, match := range link.FindAllStringSubmatch(read(t, name), -1) {
			checked++
			_, err := os.Stat(path.Join(path.Dir(name), match[1]))
			assert.NoError(t, err, "%s points at %s", name, match[1])
		}
	}
	assert.Greater(t, checked, 10, "the walk has lost its way: too few links were read")
}

// Each option of New stands in the README, and no other.
func TestReadmeListsEveryOption(t *testing.T) {
	var documented, declared []string
	for _, match := range regexp.MustCompile("(?m)^\\| `(With\\w+)\\(").FindAllStringSubmatch(read(t, "README.md"), -1) {
		documented = append(documented, match[1])
	}
	for _, match := range regexp.MustCompile(`(?m)^func (With\w+)\(.*\) Option \{`).FindAllStringSubmatch(read(t, "options.go"), -1) {
		declared = append(declared, match[1])
	}
	require.NotEmpty(t, declared)
	assert.ElementsMatch(t, declared, documented)
}

// Each exported field of Task that is a policy stands in the README's table.
func TestReadmeListsEveryPolicy(t *testing.T) {
	named := map[string]bool{"ID": true, "Name": true, "Kind": true, "Schedule": true, "Payload": true, "Disabled": true, "Labels": true, "Revision": true}
	readme := read(t, "README.md")
	_, body, found := strings.Cut(read(t, "task.go"), "type Task struct {")
	require.True(t, found)
	body, _, _ = strings.Cut(body, "\n}")
	for _, match := range regexp.MustCompile(`(?m)^\t([A-Z]\w+) `).FindAllStringSubmatch(body, -1) {
		if !named[match[1]] {
			assert.True(t, strings.Contains(readme, fmt.Sprintf("| `%s` |", match[1])), "README.md has no row for %s", match[1])
		}
	}
}

// documents lists the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			names = append(names, name)
		}
		return nil
	}))
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

func dedent(t *testing.T, name string) string { return trimLines(read(t, name)) }

// trimLines takes the indentation off, so that code can be compared at any depth.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line))
		b.WriteByte('\n')
	}
	return strings.TrimSpace(b.String())
}
