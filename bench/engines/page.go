package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/punctual-go/punctual/bench/internal/report"
)

// The page is a document with parts that the program writes. Beside it, in a folder of the same name, lie the results and the plots.
const (
	partBasis    = "basis"
	partOverview = "overview"
	partDetails  = "details"
	partGrowth   = "growth"
	resultsFile  = "results.json"
)

// folder is that of what belongs to a page.
func folder(page string) string { return strings.TrimSuffix(page, filepath.Ext(page)) }

// parts are those of the page by their names.
func (r *results) parts() map[string]string {
	return map[string]string{
		partBasis: r.basis(), partOverview: r.overview(), partDetails: r.details(), partGrowth: r.growth(),
	}
}

// publish writes everything but the results themselves.
func (r *results) publish(page string) error {
	if err := os.MkdirAll(folder(page), 0o755); err != nil {
		return err
	}
	for name, drawing := range r.plots() {
		if err := os.WriteFile(filepath.Join(folder(page), name), []byte(drawing), 0o644); err != nil {
			return err
		}
	}
	return report.Rewrite(page, r.parts())
}
