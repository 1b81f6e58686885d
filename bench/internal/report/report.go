// Package report is what the programs of this module write with: figures, their spread, and tables in documents.
package report

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// Rewrite replaces parts of a file; see Cut.
func Rewrite(name string, parts map[string]string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	changed := string(text)
	for part, content := range parts {
		before, _, after, err := Cut(changed, part)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		changed = before + content + after
	}
	return os.WriteFile(name, []byte(changed), 0o644)
}

// Cut finds a part of a document: what lies between the line <!-- part: begin --> and the line <!-- part: end -->, without the
// empty lines beside these.
func Cut(document, part string) (before, content, after string, err error) {
	begin, end := "<!-- "+part+": begin -->\n\n", "\n<!-- "+part+": end -->\n"
	before, rest, found := strings.Cut(document, begin)
	content, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", "", "", fmt.Errorf("there are no lines %s and %s with an empty line inside each", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin, content, end + after, nil
}

// Version returns the version of a module that this program was built with. Ours is the tree around it.
func Version(module string) (string, error) {
	if module == "github.com/punctual-go/punctual" {
		return "this revision", nil
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", errors.New("the program was built without module information")
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version, nil
		}
	}
	return "", fmt.Errorf("the program was built without %s", module)
}

// Median returns the middle of at least one number.
func Median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
