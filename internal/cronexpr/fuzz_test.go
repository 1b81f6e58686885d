package cronexpr

import (
	"errors"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzParse feeds Parse with anything. What it takes must read back as the same expression and answer every question; what it
// refuses must be refused with an Error that points into the text.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"* * * * *", "*/15 0-23/2 1,15,L * MON-FRI", "0 0 30 2 *", "0 30 2 8 3 ? 2026", "30 4 L-3,LW,15W,L-2W * 5#2,FRIL,7",
		"H H(0-7) * * *", "H/15 H(22-2)/2 H H(1-3) H", "@daily", "@every 1h", "CRON_TZ=Europe/Berlin 0 9 * * *", "TZ=UTC @weekly",
		"59-0 23-0 31-1 DEC-JAN SAT-SUN", "0 0 29 2 */7", "*/0 * * * *", "1-2-3/4/5 * * * *", "\xff", "é é é é é", "0 0 1 1 ? 2199",
	} {
		f.Add(text, "key", uint8(0), int64(1772953199))
	}
	zones := []*time.Location{time.UTC, location(f, newYork), location(f, "Pacific/Apia"), location(f, "Australia/Lord_Howe"), time.FixedZone("far", -3000000)}
	f.Fuzz(func(t *testing.T, text, key string, policy uint8, at int64) {
		o := Options{Location: zones[int(policy/9)%len(zones)], HashKey: key, Gap: Gap(policy % 3), Fold: Fold(policy / 3 % 3)}
		_, every, err := ParseEvery(text)
		e, err2 := Parse(text, o)
		if every && err2 == nil {
			t.Fatalf("%q is an interval and an expression", text)
		}
		for _, err := range []error{err, err2} {
			var fault *Error
			if err == nil {
				continue
			}
			if !errors.As(err, &fault) || fault.Reason == "" || fault.Column < 1 || fault.Column > utf8.RuneCountInString(fault.Text)+1 || err.Error() == "" {
				t.Fatalf("%q: %#v", text, err)
			}
		}
		if err2 != nil {
			return
		}
		o.Location = e.Location()
		again, err := Parse(e.String(), o)
		if err != nil || again.cal != e.cal || again.line != e.line || again.String() != e.String() || again.HasHash() != e.HasHash() {
			t.Fatalf("%q reads back as %q: %+v, %v", text, e, again, err)
		}
		if e.Explain() != again.Explain() || e.Explain() == "" {
			t.Fatalf("%q: %s", text, e.Explain())
		}
		from := time.Unix(at, 0)
		next := e.Next(from)
		switch {
		case next.IsZero():
			if n := e.Count(from, time.Unix(endInstant, 0)); n != 0 {
				t.Fatalf("%q: none after %v, but %d are counted", text, from, n)
			}
		case !next.After(from):
			t.Fatalf("%q: %v after %v", text, next, from)
		case e.Count(from, next) != 1:
			t.Fatalf("%q: %d in (%v, %v]", text, e.Count(from, next), from, next)
		case !e.Prev(next.Add(1)).Equal(next) || e.Prev(next).After(from):
			t.Fatalf("%q: %v before %v, %v before the instant after it", text, e.Prev(next), next, e.Prev(next.Add(1)))
		}
	})
}
