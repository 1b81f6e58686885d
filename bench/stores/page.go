package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/punctual-go/punctual/bench/internal/report"
)

// The page is a document with parts that the program writes. Beside it, in a folder of the same name, lie the results and the plots.
const (
	partBasis   = "basis"
	resultsFile = "results.json"
)

// folder is that of what belongs to a page.
func folder(page string) string { return strings.TrimSuffix(page, filepath.Ext(page)) }

// parts are those of the page by their names.
func (r *results) parts() map[string]string {
	parts := map[string]string{partBasis: r.basis()}
	for _, group := range groups {
		parts[group] = r.part(group)
	}
	return parts
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

// part writes the tables of a group.
func (r *results) part(group string) string {
	var all []scenario
	for _, sc := range scenariosOf(r.Size) {
		if sc.group == group && slices.ContainsFunc(r.Outcomes, func(m measured) bool { return m.Scenario == sc.key }) {
			all = append(all, sc)
		}
	}
	if len(all) == 0 {
		return "Not measured.\n"
	}
	switch group {
	case groupOccurrences:
		return r.occurrences(all[0])
	case groupClaims:
		return r.growth(all)
	case groupInstances:
		return r.instances(all[0])
	}
	var b strings.Builder
	for i, sc := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		if group == groupBeats {
			b.WriteString("### " + report.Capital(sc.title) + "\n\n")
		}
		b.WriteString(sc.about + "\n\n" + r.table(sc, "", nil))
	}
	return b.String()
}

// column is one that is computed for a row.
type column struct {
	title string
	write func(row) string
}

// table writes the rows of a scenario with their figures, and columns that are computed from them.
func (r *results) table(sc scenario, first string, more []column) string {
	var b strings.Builder
	b.WriteString("| " + first + " |")
	titles := make([]string, 0, len(sc.figures)+len(more))
	for _, f := range sc.figures[:1] {
		titles = append(titles, f.title)
	}
	for _, c := range more {
		titles = append(titles, c.title)
	}
	for _, f := range sc.figures[1:] {
		titles = append(titles, f.title)
	}
	b.WriteString(" " + strings.Join(titles, " | ") + " |\n| --- |" + strings.Repeat(" ---: |", len(titles)) + "\n")
	for _, row := range sc.rows {
		if r.of(sc.key, row.key) == nil {
			continue
		}
		var cells []string
		figure := func(f figure) string {
			if v, ok := r.spreadOf(sc.key, row.key, f.key); ok {
				return v.Write(f.unit)
			}
			return "–"
		}
		cells = append(cells, figure(sc.figures[0]))
		for _, c := range more {
			cells = append(cells, c.write(row))
		}
		for _, f := range sc.figures[1:] {
			cells = append(cells, figure(f))
		}
		if reason := r.reason(sc.key, row.key); reason != "" {
			cells[0] = strings.TrimPrefix(cells[0]+" failed: "+reason, "– ")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", row.title, strings.Join(cells, " | "))
	}
	return b.String()
}

// median returns the median of a figure of a row; zero when there is none.
func (r *results) median(sc scenario, row, figure string) float64 {
	v, _ := r.spreadOf(sc.key, row, figure)
	return v.Median
}

// occurrences writes the rates with their ratios.
func (r *results) occurrences(sc scenario) string {
	ratio := func(of, to float64, write func(float64) string) string {
		if of == 0 || to == 0 {
			return "–"
		}
		return write(of / to)
	}
	text := sc.about + "\n\n" + r.table(sc, "", []column{
		{"of the bare loop", func(row row) string {
			if row.key == rowBare+"-"+row.store {
				return "–"
			}
			return ratio(r.median(sc, row.key, "rate"), r.median(sc, rowBare+"-"+row.store, "rate"), report.Share.Write)
		}},
		{"of River", func(row row) string {
			if row.store != "postgres" || row.key == rowRiver {
				return "–"
			}
			return ratio(r.median(sc, row.key, "rate"), r.median(sc, rowRiver, "rate"), func(v float64) string { return fmt.Sprintf("%.1f ×", v) })
		}},
	})
	insert, inserts := r.spreadOf(sc.key, rowRiver, "insert")
	work, works := r.spreadOf(sc.key, rowRiver, "work")
	if inserts && works {
		text += fmt.Sprintf("\nRiver inserts %s (`InsertManyFast`, %s jobs a call) and works %s; its row is one after the other.\n",
			insert.Write(report.PerSecond), report.Count(riverBatch), work.Write(report.PerSecond))
	}
	return text
}

// growth writes a table for each figure, with a column for each number of stored tasks.
func (r *results) growth(all []scenario) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %s calls each. Of the stored tasks %d are due at a time, the others in a century.\n", report.Count(r.Size.Claims), fewDue)
	for _, f := range claimFigures {
		b.WriteString("\n| " + f.title + " |")
		for _, sc := range all {
			b.WriteString(" " + sc.title + " |")
		}
		b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(all)) + "\n")
		for _, row := range all[0].rows {
			if r.of(all[0].key, row.key) == nil {
				continue
			}
			b.WriteString("| " + row.title + " |")
			for _, sc := range all {
				text := "–"
				if v, ok := r.spreadOf(sc.key, row.key, f.key); ok {
					text = v.Write(f.unit)
				}
				b.WriteString(" " + text + " |")
			}
			b.WriteString("\n")
		}
	}
	for _, row := range all[0].rows {
		for _, sc := range all {
			if reason := r.reason(sc.key, row.key); reason != "" {
				fmt.Fprintf(&b, "\n%s failed with %s: %s\n", row.title, sc.title, reason)
			}
		}
	}
	return b.String()
}

// instances writes the curve and what limits it.
func (r *results) instances(sc scenario) string {
	return report.Count(r.Size.Occurrences) + " tasks are due at once, and the instances are processes of their own that start together.\n\n" +
		r.table(sc, "instances", []column{
			{"of one", func(row row) string {
				one, all := r.median(sc, sc.rows[0].key, "rate"), r.median(sc, row.key, "rate")
				if one == 0 || all == 0 {
					return "–"
				}
				return fmt.Sprintf("%.2f ×", all/one)
			}},
			{"CPUs busy", func(row row) string {
				server, known := r.spreadOf(sc.key, row.key, "server")
				if !known {
					return "–"
				}
				return report.Share.Write((server.Median + r.median(sc, row.key, "process")) / float64(r.Machine.CPUs))
			}},
		})
}

// basis writes what the figures were taken on.
func (r *results) basis() string {
	versions := []string{"Punctual this revision"}
	for _, b := range backends {
		if v := r.Versions[b.key]; v != "" {
			versions = append(versions, b.title+" "+v)
		}
	}
	if v := r.Versions[rowRiver]; v != "" {
		versions = append(versions, "River "+v)
	}
	return report.Basis{
		Date: r.Date, Quick: r.Size.Together == quickSize.Together, Machine: r.Machine, Versions: versions,
		Rounds: fmt.Sprintf("Rounds of the occurrences and the instances: %d", r.Size.Rounds), Took: r.Took, Nice: r.Nice, Others: r.Others,
	}.Write()
}
