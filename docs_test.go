package punctual_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readmes are the same page in two languages, the English one first.
var readmes = []string{"README.md", "README.zh-CN.md"}

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

// The pages for those who come from another library show functions of programs that are compiled, and mostly run by tests.
func TestCodeForThoseWhoComeFromElsewhereIsCompiled(t *testing.T) {
	pages, err := fs.Glob(os.DirFS("."), "docs/coming-from/*.md")
	require.NoError(t, err)
	require.Len(t, pages, 5)
	for _, page := range pages {
		program := path.Join("examples/comingfrom", strings.TrimSuffix(path.Base(page), ".md"))
		files, err := fs.Glob(os.DirFS("."), program+"/*.go")
		require.NoError(t, err)
		require.NotEmpty(t, files, program)
		blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, page), -1)
		require.NotEmpty(t, blocks, page)
		for _, block := range blocks {
			shown := slices.ContainsFunc(files, func(name string) bool { return strings.Contains(read(t, name), block[1]) })
			assert.True(t, shown, "no file of %s contains what %s shows, in one piece:\n%s", program, page, block[1])
		}
		assert.Contains(t, read(t, page), "(../../"+program, "%s does not say where its program is", page)
		assert.Contains(t, read(t, "README.md"), "("+page+")")
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

// A promise names the tests that defend it, so it must not outlive them.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	var sources strings.Builder
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "store/storetest/") && strings.HasSuffix(name, ".go")) {
			sources.WriteString(read(t, name))
		}
		return err
	}))
	document := read(t, "docs/guarantees.md")
	tests := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(document, -1)
	assert.Greater(t, len(tests), 20)
	for _, match := range tests {
		assert.Contains(t, sources.String(), "func "+match[1]+"(t *testing.T)", "docs/guarantees.md names it")
	}
	for _, row := range regexp.MustCompile(`(?m); suite: (.*) \|$`).FindAllStringSubmatch(document, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			assert.Regexp(t, `name: +`+regexp.QuoteMeta(name), sources.String(), "docs/guarantees.md names this case of the suite")
		}
	}
}

// Each option of New stands in the README, and no other.
func TestReadmeListsEveryOption(t *testing.T) {
	var declared []string
	for _, match := range regexp.MustCompile(`(?m)^func (With\w+)\(.*\) Option \{`).FindAllStringSubmatch(read(t, "options.go"), -1) {
		declared = append(declared, match[1])
	}
	require.NotEmpty(t, declared)
	for _, readme := range readmes {
		var documented []string
		for _, match := range regexp.MustCompile("(?m)^\\| `(With\\w+)\\(").FindAllStringSubmatch(read(t, readme), -1) {
			documented = append(documented, match[1])
		}
		assert.ElementsMatch(t, declared, documented, readme)
	}
}

// What one README shows and points at, the other does, too.
func TestReadmesOfBothLanguagesAgree(t *testing.T) {
	shown := func(name string) (code, links []string) {
		text := read(t, name)
		for _, block := range regexp.MustCompile("(?s)```(?:go|sh)\n(.*?)```").FindAllStringSubmatch(text, -1) {
			code = append(code, regexp.MustCompile(`(?m) *(//|#) .*$`).ReplaceAllString(block[1], ""))
		}
		for _, match := range regexp.MustCompile(`\]\(((?:docs/|CHANGELOG|CONTRIBUTING)[^)#]*)`).FindAllStringSubmatch(text, -1) {
			links = append(links, match[1])
		}
		slices.Sort(links)
		return code, slices.Compact(links)
	}
	code, links := shown(readmes[0])
	for _, other := range readmes[1:] {
		sameCode, sameLinks := shown(other)
		assert.Equal(t, code, sameCode, "without its comments, the code of %s is that of %s", other, readmes[0])
		assert.Equal(t, links, sameLinks, "%s points where %s does", other, readmes[0])
	}
}

// Each exported field of Task that is a policy stands in the README's table.
func TestReadmeListsEveryPolicy(t *testing.T) {
	named := map[string]bool{"ID": true, "Name": true, "Kind": true, "Schedule": true, "Payload": true, "Disabled": true, "Labels": true, "Revision": true}
	_, body, found := strings.Cut(read(t, "task.go"), "type Task struct {")
	require.True(t, found)
	body, _, _ = strings.Cut(body, "\n}")
	for _, match := range regexp.MustCompile(`(?m)^\t([A-Z]\w+) `).FindAllStringSubmatch(body, -1) {
		for _, readme := range readmes {
			listed := strings.Contains(read(t, readme), fmt.Sprintf("| `%s` |", match[1]))
			assert.True(t, named[match[1]] || listed, "%s has no row for %s", readme, match[1])
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
