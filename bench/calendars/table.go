package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/punctual-go/punctual/bench/internal/report"
)

// mark stands for an answer that is the expected one.
const mark = "✓"

// row is an example with the answer of each library, in the order of libraries.
type row struct {
	example example
	want    answer
	answers []answer
}

// atOnce is how many children work at a time. More than there are CPUs help, since those that hang wait for their limit.
const atOnce = 4

// evaluate puts all examples of the groups to the libraries. The rows come in the order of the groups.
func evaluate(ctx context.Context, groups []group, libs []library, limit time.Duration) ([][]row, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tables := make([][]row, len(groups))
	slots := make(chan struct{}, atOnce)
	var children sync.WaitGroup
	for g, group := range groups {
		tables[g] = make([]row, len(group.cases))
		for c, e := range group.cases {
			want, err := e.expected()
			if err != nil {
				cancel(err)
			}
			tables[g][c] = row{example: e, want: want, answers: make([]answer, len(libs))}
			for l, lib := range libs {
				cell := &tables[g][c].answers[l]
				children.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					q, err := e.ask(lib)
					if err == nil {
						*cell, err = put(ctx, q, limit)
					}
					if err != nil {
						cancel(err)
					}
				})
			}
		}
	}
	children.Wait()
	return tables, context.Cause(ctx)
}

// answersInMarkdown writes the summary and the tables of answers.
func answersInMarkdown(groups []group, libs []library, tables [][]row, limit time.Duration) (string, error) {
	var b strings.Builder
	b.WriteString("| library | version | as expected | other instants | refused | failed or no answer |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for l, lib := range libs {
		version, err := report.Version(lib.module)
		if err != nil {
			return "", err
		}
		var as, other, refused, none int
		for _, rows := range tables {
			for _, r := range rows {
				switch a := r.answers[l]; {
				case a.equal(r.want):
					as++
				case a.End == endRefused:
					refused++
				case a.End == endDone || a.End == endNever:
					other++
				default:
					none++
				}
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d |\n", lib.title, version, as, other, refused, none)
	}
	for g, group := range groups {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| case | input | expected |", group.title, group.about)
		for _, lib := range libs {
			b.WriteString(" " + lib.title + " |")
		}
		b.WriteString("\n|" + strings.Repeat(" --- |", 3+len(libs)) + "\n")
		for _, r := range tables[g] {
			cells, err := r.cells(limit)
			if err != nil {
				return "", err
			}
			b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		}
	}
	writeTranslations(&b, groups, libs)
	return b.String(), nil
}

// writeTranslations writes a table of the expressions that some library was given in a spelling of its own.
func writeTranslations(b *strings.Builder, groups []group, libs []library) {
	var translated []library
	for _, lib := range libs {
		if slices.ContainsFunc(expressions(groups), func(expr string) bool { return lib.translate(expr) != expr }) {
			translated = append(translated, lib)
		}
	}
	b.WriteString("\n### Spellings\n\nWhat a library was given where it spells an expression in another way.\n\n| expression |")
	for _, lib := range translated {
		b.WriteString(" " + lib.title + " |")
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", 1+len(translated)) + "\n")
	for _, expr := range expressions(groups) {
		cells, any := []string{code(expr)}, false
		for _, lib := range translated {
			cell := ""
			if spelled := lib.translate(expr); spelled != expr {
				cell, any = code(spelled), true
			}
			cells = append(cells, cell)
		}
		if any {
			b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		}
	}
}

// expressions lists those of all groups, each once, sorted.
func expressions(groups []group) []string {
	var all []string
	for _, group := range groups {
		for _, e := range group.cases {
			all = append(all, e.expr)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// cells writes a row.
func (r row) cells(limit time.Duration) ([]string, error) {
	loc, err := time.LoadLocation(r.example.zone)
	if err != nil {
		return nil, err
	}
	after, err := time.Parse(layout, r.example.after)
	if err != nil {
		return nil, err
	}
	after = after.In(loc)
	cells := []string{
		r.example.name,
		code(r.example.expr) + " " + r.example.zone + " after " + strconv.Itoa(after.Year()) + "-" + instants([]time.Time{after}, after),
		r.want.text(after, limit),
	}
	for _, a := range r.answers {
		if a.equal(r.want) {
			cells = append(cells, mark)
		} else {
			cells = append(cells, a.text(after, limit))
		}
	}
	return cells, nil
}

// text writes an answer to a question about what comes after an instant.
func (a answer) text(after time.Time, limit time.Duration) string {
	how := ""
	switch a.End {
	case endNever:
		how = "never again"
		if len(a.Instants) == 0 {
			how = "accepted, never due"
		}
	case endHung:
		how = "no answer in " + seconds(limit)
	default:
		how = string(a.End)
		if a.Reason != "" {
			how += ": " + code(strings.Join(strings.Fields(a.Reason), " "))
		}
	}
	switch {
	case a.End == endDone:
		return instants(a.Instants, after)
	case len(a.Instants) == 0:
		return how
	}
	return instants(a.Instants, after) + "; then " + how
}

// instants writes instants as the clock of the zone of after shows them: "03-08 03:00 EDT; 03-09 02:00, 03:00 EDT". The date is written where it
// changes, the year where it is another than that before, seconds where there are any.
func instants(all []time.Time, after time.Time) string {
	var b strings.Builder
	year, date, zone := after.Year(), "", ""
	for _, at := range all {
		at = at.In(after.Location())
		day, abbreviation := at.Format("01-02"), at.Format("MST")
		if at.Year() != year {
			day = at.Format("2006-01-02")
		}
		if full := at.Format("2006-01-02"); full != date || abbreviation != zone {
			if zone != "" {
				b.WriteString(" " + zone + "; ")
			}
			if full != date {
				b.WriteString(day + " ")
			}
			date = full
		} else {
			b.WriteString(", ")
		}
		year, zone = at.Year(), abbreviation
		if at.Second() == 0 {
			b.WriteString(at.Format("15:04"))
		} else {
			b.WriteString(at.Format("15:04:05"))
		}
	}
	if zone != "" {
		b.WriteString(" " + zone)
	}
	return b.String()
}

// code writes text for a cell of a table so that nothing in it is markup.
func code(text string) string {
	return "`" + strings.NewReplacer("`", "'", "|", `\|`).Replace(text) + "`"
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'g', -1, 64) + " s"
}

// ratio writes a quotient with two digits, or more where they stand before the point.
func ratio(q float64) string {
	switch {
	case q < 1:
		return strconv.FormatFloat(q, 'f', 2, 64)
	case q < 10:
		return strconv.FormatFloat(q, 'f', 1, 64)
	}
	return strconv.FormatFloat(q, 'f', 0, 64)
}

// timesInMarkdown writes the table of times, and on what they were measured.
func timesInMarkdown(results map[timing]clocked, rounds int, length, limit time.Duration, today time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Median of %d rounds of %s, %s, %s, %s/%s, %d CPUs. In brackets: how many times as long as Punctual.\n\n",
		rounds, length, today.Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	b.WriteString("| expression |")
	columns := 1
	for _, lib := range libraries {
		if lib.parse != nil {
			b.WriteString(" " + lib.title + " |")
			columns++
		}
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", columns-1) + "\n")
	for _, expr := range timed {
		base := results[timing{libraries[0].key, expr}]
		b.WriteString("| " + code(expr) + " |")
		for i, lib := range libraries {
			if lib.parse == nil {
				continue
			}
			r := results[timing{lib.key, expr}]
			switch {
			case r.End != endDone:
				b.WriteString(" " + answer{End: r.End, Reason: r.Reason}.text(today, limit) + " |")
			case i == 0 || base.End != endDone:
				fmt.Fprintf(&b, " %.0f ns |", r.NsOp)
			default:
				other := ""
				if r.Sum != base.Sum {
					other = ", other instants"
				}
				fmt.Fprintf(&b, " %.0f ns (%s%s) |", r.NsOp, ratio(r.NsOp/base.NsOp), other)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
