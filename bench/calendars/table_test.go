package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInstantsShowDatesYearsSecondsAndZonesWhereTheyChange(t *testing.T) {
	loc, err := time.LoadLocation(newYork)
	require.NoError(t, err)
	for _, test := range []struct {
		name string
		all  []string
		want string
	}{
		{"nothing", nil, ""},
		{"one date", []string{"2026-03-09 02:00:00 -04:00", "2026-03-09 02:30:00 -04:00"}, "03-09 02:00, 02:30 EDT"},
		{"two dates", []string{"2026-03-09 02:00:00 -04:00", "2026-03-10 02:00:00 -04:00"}, "03-09 02:00 EDT; 03-10 02:00 EDT"},
		{"a gap", []string{"2026-03-08 01:59:40 -05:00", "2026-03-08 03:00:00 -04:00"}, "03-08 01:59:40 EST; 03:00 EDT"},
		{"a year", []string{"2026-12-31 00:00:00 -05:00", "2027-01-01 00:00:00 -05:00", "2027-01-02 00:00:00 -05:00"}, "12-31 00:00 EST; 2027-01-01 00:00 EST; 01-02 00:00 EST"},
		{"another date at the same time of year", []string{"2027-03-09 02:00:00 -05:00", "2028-03-09 02:00:00 -05:00"}, "2027-03-09 02:00 EST; 2028-03-09 02:00 EST"},
	} {
		var all []time.Time
		for _, text := range test.all {
			all = append(all, at(t, text))
		}
		assert.Equal(t, test.want, instants(all, at(t, "2026-03-07 12:00:00 -05:00").In(loc)), test.name)
	}
}

func TestAnswersAreWrittenAsTheDocumentExplains(t *testing.T) {
	after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := []time.Time{after.AddDate(0, 0, 1)}
	for _, test := range []struct {
		a    answer
		want string
	}{
		{answer{Instants: one, End: endDone}, "01-02 00:00 UTC"},
		{answer{Instants: one, End: endNever}, "01-02 00:00 UTC; then never again"},
		{answer{End: endNever}, "accepted, never due"},
		{answer{End: endRefused}, "refused"},
		{answer{End: endRefused, Reason: "a | b\n`c`"}, "refused: `a \\| b 'c'`"},
		{answer{Instants: one, End: endFailed, Reason: "expired"}, "01-02 00:00 UTC; then failed: `expired`"},
		{answer{End: endHung}, "no answer in 1.5 s"},
	} {
		assert.Equal(t, test.want, test.a.text(after, 1500*time.Millisecond))
	}
}

// liar is a library that is a minute late, for tests of how differences are counted and shown.
var liar = library{key: "liar", title: "Liar", module: "github.com/robfig/cron/v3", translate: func(expr string) string { return "late " + expr }}

func TestOnlyTheExpectedInstantsGetTheMark(t *testing.T) {
	e := example{name: "noon", expr: "0 12 * * *", zone: "UTC", after: "2026-01-01 00:00:00 +00:00", want: []string{"2026-01-01 12:00:00 +00:00"}}
	never := example{name: "never", expr: "0 0 30 2 *", zone: "UTC", after: "2026-01-01 00:00:00 +00:00", never: true}
	want, err := e.expected()
	require.NoError(t, err)
	late := answer{Instants: []time.Time{want.Instants[0].Add(time.Minute)}, End: endDone}
	short := answer{Instants: want.Instants, End: endFailed, Reason: "no"}
	refused := answer{End: endRefused, Reason: "no such day"}
	groups := []group{{title: "Test", about: "About.", cases: []example{e, e, never}}}
	tables := [][]row{{
		{example: e, want: want, answers: []answer{want, late}},
		{example: e, want: want, answers: []answer{want, short}},
		{example: never, want: answer{End: endRefused}, answers: []answer{refused, {End: endHung}}},
	}}
	text, err := answersInMarkdown(groups, []library{libraries[0], liar}, tables, limit)
	require.NoError(t, err)
	assert.Equal(t, "| library | version | as expected | other instants | refused | failed or no answer |\n"+
		"| --- | --- | ---: | ---: | ---: | ---: |\n"+
		"| Punctual | this revision | 3 | 0 | 0 | 0 |\n"+
		"| Liar | v3.0.1 | 0 | 1 | 0 | 2 |\n"+
		"\n### Test\n\nAbout.\n\n"+
		"| case | input | expected | Punctual | Liar |\n"+
		"| --- | --- | --- | --- | --- |\n"+
		"| noon | `0 12 * * *` UTC after 2026-01-01 00:00 UTC | 01-01 12:00 UTC | ✓ | 01-01 12:01 UTC |\n"+
		"| noon | `0 12 * * *` UTC after 2026-01-01 00:00 UTC | 01-01 12:00 UTC | ✓ | 01-01 12:00 UTC; then failed: `no` |\n"+
		"| never | `0 0 30 2 *` UTC after 2026-01-01 00:00 UTC | refused | ✓ | no answer in 5 s |\n"+
		"\n### Spellings\n\nWhat a library was given where it spells an expression in another way.\n\n"+
		"| expression | Liar |\n| --- | --- |\n"+
		"| `0 0 30 2 *` | `late 0 0 30 2 *` |\n"+
		"| `0 12 * * *` | `late 0 12 * * *` |\n", text)
}

func TestTimesAreComparedWithOurs(t *testing.T) {
	results := make(map[timing]clocked)
	for _, expr := range timed {
		for _, lib := range libraries {
			results[timing{lib.key, expr}] = clocked{NsOp: 100, Sum: 1, End: endDone}
		}
		results[timing{"punctual", expr}] = clocked{NsOp: 50, Sum: 1, End: endDone}
	}
	results[timing{"robfig", timed[0]}] = clocked{NsOp: 2000, Sum: 1, End: endDone}
	results[timing{"go-cron", timed[0]}] = clocked{NsOp: 20, Sum: 2, End: endDone}
	results[timing{"go-quartz", timed[0]}] = clocked{End: endHung}
	text := timesInMarkdown(results, 3, time.Second, limit, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	assert.Contains(t, text, "Median of 3 rounds of 1s, 2026-01-02, go1.")
	assert.Contains(t, text, "\n| expression | Punctual | robfig/cron | gocron | netresearch/go-cron | go-quartz |\n| --- | ---: | ---: | ---: | ---: | ---: |\n")
	assert.Contains(t, text, "\n| `*/5 * * * *` | 50 ns | 2000 ns (40) | 100 ns (2.0) | 20 ns (0.40, other instants) | no answer in 5 s |\n")
}

func TestEveryLibraryIsTimedForEveryExpression(t *testing.T) {
	results, err := clock(t.Context(), 1, 1, limit)
	require.NoError(t, err)
	for _, expr := range timed {
		for _, lib := range libraries {
			r := results[timing{lib.key, expr}]
			if lib.parse == nil {
				assert.Zero(t, r, lib.key)
				continue
			}
			assert.Equal(t, endDone, r.End, "%s: %s: %s", lib.key, expr, r.Reason)
			assert.Positive(t, r.NsOp)
		}
	}
}
