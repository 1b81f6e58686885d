package cronexpr

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The oracle implements the rule of the package documentation by brute force: it reads the wall clock of package time at every second
// around every change of an offset, and decides reading by reading. It shares no code with the package.

// oracleCase is an expression with its meaning, spelled out.
type oracleCase struct {
	text     string
	wildcard bool
	seconds  []int // the seconds of a minute on which it can match, to look no further on the others
	match    func(weekday time.Weekday, day, lastDay, h, m, s int) bool
}

var oracleCases = []oracleCase{
	// Fixed: neither the minute nor the hour is a star field.
	{"30 2 * * *", false, []int{0}, func(_ time.Weekday, _, _, h, m, _ int) bool { return h == 2 && m == 30 }},
	{"0 0 * * *", false, []int{0}, func(_ time.Weekday, _, _, h, m, _ int) bool { return h == 0 && m == 0 }},
	{"0,20,59 0-23 * * *", false, []int{0}, func(_ time.Weekday, _, _, _, m, _ int) bool { return m == 0 || m == 20 || m == 59 }},
	{"45 0-59/15 0-23 * * MON-FRI", false, []int{45}, func(w time.Weekday, _, _, _, m, _ int) bool { return m%15 == 0 && w >= 1 && w <= 5 }},
	{"*/20 30 0-23/2 * * *", false, []int{0, 20, 40}, func(_ time.Weekday, _, _, h, m, _ int) bool { return h%2 == 0 && m == 30 }},
	{"30 0-3,22-23 L * SUN", false, []int{0}, func(w time.Weekday, d, last, h, m, _ int) bool {
		return m == 30 && (h <= 3 || h >= 22) && (d == last || w == time.Sunday)
	}},
	{"15 0-23 */2 * SAT", false, []int{0}, func(w time.Weekday, d, _, _, m, _ int) bool { return m == 15 && d%2 == 1 && w == time.Saturday }},
	// Wildcard: one of them is.
	{"30 * * * *", true, []int{0}, func(_ time.Weekday, _, _, _, m, _ int) bool { return m == 30 }},
	{"*/15 * * * *", true, []int{0}, func(_ time.Weekday, _, _, _, m, _ int) bool { return m%15 == 0 }},
	{"*/10 1-3 * * *", true, []int{0}, func(_ time.Weekday, _, _, h, m, _ int) bool { return m%10 == 0 && h >= 1 && h <= 3 }},
	{"0 */2 * * 0", true, []int{0}, func(w time.Weekday, _, _, h, m, _ int) bool { return m == 0 && h%2 == 0 && w == time.Sunday }},
	{"*/30 * 0,2 * * *", true, []int{0, 30}, func(_ time.Weekday, _, _, h, _, _ int) bool { return h == 0 || h == 2 }},
}

// matches asks a case about a reading.
func (c *oracleCase) matches(reading int64) bool {
	t := time.Unix(reading, 0).UTC()
	h, m, s := t.Clock()
	last := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return slices.Contains(c.seconds, s) && c.match(t.Weekday(), t.Day(), last, h, m, s)
}

// clockWindow is what the wall clock of a zone shows in a range of instants: the reading, as if it were UTC, of each second.
type clockWindow struct {
	from     int64
	readings []int64
}

func watch(loc *time.Location, from, to int64) clockWindow {
	w := clockWindow{from: from, readings: make([]int64, 0, to-from)}
	for t := from; t < to; t++ {
		_, offset := time.Unix(t, 0).In(loc).Zone()
		w.readings = append(w.readings, t+int64(offset))
	}
	return w
}

// sighting is what the oracle notes of one matching reading.
type sighting struct {
	first, last int64 // the instants that show it
	both        []int64
}

// oracleNotes are the matching readings of a window: those shown, and those that were jumped over and are not shown at all.
type oracleNotes struct {
	shown  map[int64]*sighting
	missed []missedReading
}

// missedReading is a matching reading that does not exist.
type missedReading struct {
	reading int64
	at      int64 // the instant of the jump
	length  int64 // of the jump
	landing int64 // the reading at that instant
}

// notesOf steps through the window second by second.
func notesOf(cases []oracleCase, w clockWindow) []oracleNotes {
	notes := make([]oracleNotes, len(cases))
	for i := range notes {
		notes[i].shown = make(map[int64]*sighting)
	}
	wanted := [60]bool{}
	for _, c := range cases {
		for _, s := range c.seconds {
			wanted[s] = true
		}
	}
	second := func(reading int64) int { return int((reading%60 + 60) % 60) }
	exists := make(map[int64]bool) // only what lies between the readings around a jump is asked for
	var jumps []int
	for i := range w.readings {
		if i > 0 && w.readings[i] > w.readings[i-1]+1 {
			jumps = append(jumps, i)
		}
	}
	if len(jumps) > 0 {
		for _, r := range w.readings {
			exists[r] = true
		}
	}
	for i, r := range w.readings {
		if !wanted[second(r)] {
			continue
		}
		for k := range cases {
			if !cases[k].matches(r) {
				continue
			}
			s := notes[k].shown[r]
			if s == nil {
				s = &sighting{first: w.from + int64(i)}
				notes[k].shown[r] = s
			}
			s.last = w.from + int64(i)
			s.both = append(s.both, s.last)
		}
	}
	for _, i := range jumps {
		before, after := w.readings[i-1], w.readings[i]
		for r := before + 1; r < after; r++ {
			if exists[r] {
				continue
			}
			exists[r] = true // a later jump over it counts no more
			for k := range cases {
				if wanted[second(r)] && cases[k].matches(r) {
					notes[k].missed = append(notes[k].missed, missedReading{r, w.from + int64(i), after - before - 1, after})
				}
			}
		}
	}
	return notes
}

// occurrences applies the policies to what was noted.
func (n oracleNotes) occurrences(wildcard bool, gap Gap, fold Fold) []int64 {
	var list []int64
	for _, s := range n.shown {
		switch {
		case wildcard || fold == FoldBoth:
			list = append(list, s.both...)
		case fold == FoldFirst:
			list = append(list, s.first)
		default:
			list = append(list, s.last)
		}
	}
	sameDate := func(a, b int64) bool {
		return time.Unix(a, 0).UTC().Format(time.DateOnly) == time.Unix(b, 0).UTC().Format(time.DateOnly)
	}
	for _, m := range n.missed {
		switch {
		case wildcard || gap == GapSkip:
		case gap == GapAtTransition && sameDate(m.reading, m.landing):
			list = append(list, m.at)
		case gap == GapShift && sameDate(m.reading, m.reading+m.length):
			// The clock that had not jumped would show the reading as long after the jump as the reading lies after the jump's.
			list = append(list, m.at+m.reading-(m.landing-m.length))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// agree compares Next, Prev and Count with the oracle's list for the instants in [from, to).
func agree(e *Expr, from, to int64, want []int64) error {
	describe := func(what string, got time.Time, after int64, want int64) error {
		w := "none"
		if want != 0 {
			w = time.Unix(want, 0).In(e.Location()).String()
		}
		return fmt.Errorf("%s with gap %v, fold %v in %v: %s of %v is %v, want %s", e, e.options.Gap, e.options.Fold, e.Location(),
			what, time.Unix(after, 0).In(e.Location()), got, w)
	}
	at := from - 1
	for _, w := range want {
		next := e.Next(time.Unix(at, 0))
		if next.IsZero() || next.Unix() != w {
			return describe("Next", next, at, w)
		}
		at = w
	}
	if next := e.Next(time.Unix(at, 0)); !next.IsZero() && next.Unix() < to {
		return describe("Next", next, at, 0)
	}
	at = to
	for _, w := range slices.Backward(want) {
		prev := e.Prev(time.Unix(at, 0))
		if prev.IsZero() || prev.Unix() != w {
			return describe("Prev", prev, at, w)
		}
		at = w
	}
	if prev := e.Prev(time.Unix(at, 0)); !prev.IsZero() && prev.Unix() >= from {
		return describe("Prev", prev, at, 0)
	}
	// From each occurrence to the end: all bounds that matter.
	for i := range want {
		if n := e.Count(time.Unix(want[i], 0), time.Unix(to-1, 0)); int(n) != len(want)-i-1 {
			return fmt.Errorf("%s in %v: Count from %v to %v is %d, want %d", e, e.Location(), time.Unix(want[i], 0), time.Unix(to-1, 0), n, len(want)-i-1)
		}
	}
	if n := e.Count(time.Unix(from-1, 0), time.Unix(to-1, 0)); int(n) != len(want) {
		return fmt.Errorf("%s in %v: Count from %v to %v is %d, want %d", e, e.Location(), from-1, to-1, n, len(want))
	}
	return nil
}

var (
	gaps  = []Gap{GapAtTransition, GapSkip, GapShift}
	folds = []Fold{FoldFirst, FoldSecond, FoldBoth}
)

// examine compares all cases under all policies in one window of a zone. Readings nearer than reach to the ends of what is
// watched may have their counterpart outside, so occurrences are compared in [from, to) only.
func examine(exprs *[3][3][]*Expr, loc *time.Location, from, to, reach int64) error {
	notes := notesOf(oracleCases, watch(loc, from-reach, to+reach))
	for k, c := range oracleCases {
		for g, gap := range gaps {
			for f, fold := range folds {
				want := notes[k].occurrences(c.wildcard, gap, fold)
				want = slices.DeleteFunc(want, func(t int64) bool { return t < from || t >= to })
				if err := agree(exprs[g][f][k], from, to, want); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func oracleExprs(t *testing.T, loc *time.Location) *[3][3][]*Expr {
	var exprs [3][3][]*Expr
	for g, gap := range gaps {
		for f, fold := range folds {
			for _, c := range oracleCases {
				exprs[g][f] = append(exprs[g][f], mustParse(t, c.text, Options{Location: loc, Gap: gap, Fold: fold}))
			}
		}
	}
	return &exprs
}

// jump is a change of an offset.
type jump struct{ at, by int64 }

// jumpsOf finds the changes of a zone's offset by asking for it every so often and halving the way between two answers that differ.
func jumpsOf(loc *time.Location, from, to, step int64) []jump {
	offset := func(t int64) int64 {
		_, o := time.Unix(t, 0).In(loc).Zone()
		return int64(o)
	}
	var list []jump
	for t := from; t < to; t += step {
		for lo := t; offset(lo) != offset(t+step); {
			a, b := lo, t+step // the first change after lo is in (a, b], unless two undo each other
			for b-a > 1 {
				if mid := (a + b) / 2; offset(mid) == offset(lo) {
					a = mid
				} else {
					b = mid
				}
			}
			list = append(list, jump{b, offset(b) - offset(a)})
			lo = b
		}
	}
	return list
}

// zoneNames lists the zones of the tz database: of the Go distribution, or of the system, or the names kept in testdata.
func zoneNames(t testing.TB) []string {
	t.Helper()
	var names []string
	if z, err := zip.OpenReader(filepath.Join(os.Getenv("GOROOT"), "lib", "time", "zoneinfo.zip")); err == nil { // go test sets GOROOT
		defer z.Close()
		for _, f := range z.File {
			if !strings.HasSuffix(f.Name, "/") {
				names = append(names, f.Name)
			}
		}
	}
	if len(names) == 0 {
		root := os.DirFS("/usr/share/zoneinfo")
		_ = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil || d.IsDir() && (path == "posix" || path == "right"): // the same again, and with leap seconds
				return fs.SkipDir
			case !d.IsDir() && path[0] >= 'A' && path[0] <= 'Z' && !strings.Contains(path, "."):
				names = append(names, path)
			}
			return nil
		})
	}
	if len(names) == 0 {
		text, err := os.ReadFile(filepath.Join("testdata", "zones.txt"))
		require.NoError(t, err)
		names = strings.Fields(string(text))
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := time.LoadLocation(name)
		return err != nil || name == "Factory" || name == "localtime" || name == "posixrules"
	})
	require.Greater(t, len(names), 400, "this is not the tz database")
	return names
}

// notable zones have gaps at midnight, of 30 minutes, of two hours, across midnight or of a day, negative daylight saving time, two
// changes a month, or offsets of quarters of an hour. The sampled oracle takes all of them.
var notable = []string{
	"America/New_York", "Europe/Berlin", "America/Santiago", "Asia/Beirut", "Africa/Cairo", "America/Asuncion", "America/Havana", "America/Sao_Paulo",
	"Asia/Amman", "Asia/Gaza", "Asia/Tehran", "Australia/Lord_Howe", "Antarctica/Troll", "Antarctica/Casey", "Pacific/Apia", "Pacific/Fakaofo",
	"Europe/Dublin", "Africa/Casablanca", "Africa/El_Aaiun", "America/Nuuk", "America/Scoresbysund", "Pacific/Chatham", "Asia/Pyongyang",
	"America/Caracas", "Asia/Kathmandu", "Africa/Windhoek", "Europe/Istanbul", "Europe/Volgograd", "America/Metlakatla", "Pacific/Norfolk",
}

// Around each change of an offset in the years 2000 to 2040: in the notable zones and every 20th other, each fifth year. With
// PUNCTUAL_ORACLE=full it is all zones and all years, which takes minutes.
func TestOracleAgreesAroundEveryChangeOfAnOffset(t *testing.T) {
	full := os.Getenv("PUNCTUAL_ORACLE") == "full"
	names := notable
	for i, name := range zoneNames(t) {
		if full || i%20 == 0 && !slices.Contains(notable, name) {
			names = append(names[:len(names):len(names)], name)
		}
	}
	if full {
		slices.Sort(names)
		names = slices.Compact(names)
	}
	step := int64(12 * 3600)
	if full {
		step = 3600
	}
	windows := 0
	for i, name := range names {
		loc := location(t, name)
		exprs := oracleExprs(t, loc)
		for year := 2000; year <= 2040; year++ {
			if !full && (year+i)%5 != 0 && !(name == "Pacific/Apia" && year == 2011) {
				continue
			}
			from := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
			to := time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
			for _, j := range jumpsOf(loc, from, to, step) {
				length := max(j.by, -j.by)
				require.NoError(t, examine(exprs, loc, j.at-length-3600, j.at+length+3600, length))
				windows++
			}
		}
	}
	t.Logf("%d zones, %d changes of an offset, %d expressions under 9 policies", len(names), windows, len(oracleCases))
	require.Greater(t, windows, 100)
}

// Offsets that change again within hours, which no zone does, but which the format of zone files allows.
func TestOracleAgreesInZonesThatNeverWere(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 25 {
		start := time.Date(1975+r.IntN(60), 1, 1, r.IntN(24), r.IntN(60), 0, 0, time.UTC).Unix()
		if r.IntN(2) == 0 {
			start = time.Date(1975+r.IntN(60), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), 0, 0, 0, time.UTC).Unix()
		}
		at := start
		changes := []jump{}
		offset := int64(r.IntN(48)-24) * 1800
		for range 2 + r.IntN(5) {
			changes = append(changes, jump{at, offset + int64(r.IntN(16)-8)*900 + int64(r.IntN(2)*17)}) // by is the new offset here
			at += int64(1+r.IntN(16)) * 600
		}
		const reach = 5 * 3600 // more than twice the largest difference
		loc := inventedZone(t, offset, changes)
		require.NoError(t, examine(oracleExprs(t, loc), loc, start-reach, at+reach, reach), "offset %d, then %v", offset, changes)
	}
}

// inventedZone makes a zone with an offset before all changes and the changes' offsets after them.
func inventedZone(t testing.TB, offset int64, changes []jump) *time.Location {
	t.Helper()
	var b []byte
	u32 := func(v int64) { b = binary.BigEndian.AppendUint32(b, uint32(v)) }
	b = append(b, "TZif"...)
	b = append(b, make([]byte, 16)...)                                    // version 1
	for _, n := range []int{0, 0, 0, len(changes), len(changes) + 1, 4} { // counts of isut, isstd, leap, time, type, char
		u32(int64(n))
	}
	for _, c := range changes {
		u32(c.at)
	}
	for i := range changes {
		b = append(b, byte(i+1))
	}
	zone := func(offset int64) {
		u32(offset)
		b = append(b, 0, 0)
	}
	zone(offset)
	for _, c := range changes {
		zone(c.by)
	}
	b = append(b, "XXX\x00"...)
	loc, err := time.LoadLocationFromTZData("Invented", b)
	require.NoError(t, err)
	return loc
}

// A walk over years, so that nothing hides between the windows of the oracle.
func TestCountIsTheNumberOfStepsInEveryZone(t *testing.T) {
	for i, name := range zoneNames(t) {
		c := oracleCases[i%len(oracleCases)]
		e := mustParse(t, c.text, Options{Location: location(t, name), Gap: gaps[i%3], Fold: folds[i/3%3]})
		from := time.Date(2000+i%38, 1, 1, 0, 0, 0, 0, time.UTC)
		to := from.AddDate(0, 18, 0)
		if c.wildcard || len(c.seconds) > 1 {
			to = from.AddDate(0, 4, 0)
		}
		var n int64
		for at := e.Next(from); !at.After(to); at = e.Next(at) {
			n++
		}
		require.Equal(t, n, e.Count(from, to), "%s in %s from %v", c.text, name, from)
	}
}
