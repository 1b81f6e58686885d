package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/punctual-go/punctual/bench/internal/report"
)

// spreadOf returns the spread of a figure; false when no round has it.
func spreadOf(outcomes []outcome, f figure) (report.Spread, bool) {
	var found []float64
	for _, o := range outcomes {
		if v, ok := o.Values[f.key]; ok {
			found = append(found, v)
		}
	}
	return report.SpreadOf(found)
}

// reasonOf returns why there are no figures, or nothing.
func reasonOf(outcomes []outcome) string {
	if len(outcomes) == 0 {
		return ""
	}
	return outcomes[len(outcomes)-1].Reason
}

// overview writes the medians: a row for each figure of each scenario, a column for each library.
func (r *results) overview() string {
	libs := r.libraries()
	var b strings.Builder
	b.WriteString("| scenario | figure |")
	for _, lib := range libs {
		b.WriteString(" " + lib.title + " |")
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" ---: |", len(libs)) + "\n")
	for _, sc := range scenarios {
		if !r.has(sc.key) {
			continue
		}
		for i, f := range sc.figures {
			title := ""
			if i == 0 {
				title = sc.title(r.Size)
			}
			fmt.Fprintf(&b, "| %s | %s |", title, f.title)
			for _, lib := range libs {
				text := "–"
				if v, ok := spreadOf(r.of(sc.key, 0, lib.key), f); ok {
					text = f.unit.Write(v.Median)
				}
				b.WriteString(" " + text + " |")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// details writes a table for each scenario, with the spread over the rounds in brackets.
func (r *results) details() string {
	var b strings.Builder
	for _, sc := range scenarios {
		if !r.has(sc.key) {
			continue
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n\n| library |", report.Capital(sc.title(r.Size)), sc.about(r.Size))
		for _, f := range sc.figures {
			b.WriteString(" " + f.title + " |")
		}
		b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(sc.figures)) + "\n")
		for _, lib := range r.libraries() {
			outcomes := r.of(sc.key, 0, lib.key)
			cells := make([]string, 0, len(sc.figures))
			for _, f := range sc.figures {
				text := ""
				if v, ok := spreadOf(outcomes, f); ok {
					text = v.Write(f.unit)
				}
				cells = append(cells, text)
			}
			if reason := reasonOf(outcomes); reason != "" {
				cells[0] = strings.TrimSpace(cells[0] + " " + reason)
			}
			if done, cut := spreadOf(outcomes, figure{key: "done"}); cut {
				cells[0] += ", " + report.Short(done.Median) + " in " + report.Length(r.Size.Cap)
			}
			fmt.Fprintf(&b, "| %s | %s |\n", lib.title, strings.Join(cells, " | "))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// growth writes a table for each figure of the growth.
func (r *results) growth() string {
	var b strings.Builder
	for _, f := range growthFigures {
		fmt.Fprintf(&b, "| %s |", f.title)
		for _, tasks := range r.Size.Growth {
			b.WriteString(" " + report.Count(tasks) + " |")
		}
		b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(r.Size.Growth)) + "\n")
		for _, lib := range r.libraries() {
			b.WriteString("| " + lib.title + " |")
			for _, tasks := range r.Size.Growth {
				text := ""
				if v, ok := spreadOf(r.of(growthKey, tasks, lib.key), f); ok {
					text = v.Write(f.unit)
				}
				b.WriteString(" " + text + " |")
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	for _, lib := range r.libraries() {
		for _, tasks := range r.Size.Growth {
			if reason := reasonOf(r.of(growthKey, tasks, lib.key)); reason != "" {
				fmt.Fprintf(&b, "- %s ends early: %s.\n", lib.title, reason)
				break
			}
		}
	}
	return b.String()
}

// basis writes what the figures were taken on.
func (r *results) basis() string {
	var versions []string
	for _, lib := range r.libraries() {
		if v := r.Versions[lib.key]; v != "" {
			versions = append(versions, lib.title+" "+v)
		}
	}
	rounds := fmt.Sprintf("Rounds: %d", r.Size.Rounds)
	if r.Size.GrowthRounds != r.Size.Rounds && r.hasGrowth() {
		rounds += fmt.Sprintf(", of the growth %d", r.Size.GrowthRounds)
	}
	return report.Basis{
		Date: r.Date, Quick: r.Size.Long == quickSize.Long, Machine: r.Machine, Versions: versions, Rounds: rounds, Took: r.Took, Nice: r.Nice, Others: r.Others,
	}.Write()
}

// libraries returns those that were measured, in the order of the tables.
func (r *results) libraries() []library {
	return slices.DeleteFunc(slices.Clone(libraries), func(lib library) bool {
		return !slices.ContainsFunc(r.Outcomes, func(m measured) bool { return m.Library == lib.key })
	})
}

func (r *results) has(scenario string) bool {
	return slices.ContainsFunc(r.Outcomes, func(m measured) bool { return m.Scenario == scenario })
}

func (r *results) hasGrowth() bool { return r.has(growthKey) }
