package cronexpr

import (
	"time"
)

// Expr is a parsed expression in its zone. It never changes and is safe to share. Make it with Parse.
type Expr struct {
	text    string // as String returns it
	options Options
	hashed  bool
	cal     calendar
	line    *timeline
}

// Options are the settings of an expression that its text does not hold. The zero value is usable.
type Options struct {
	// Location is the zone used when the text has no CRON_TZ= or TZ= prefix. Nil means UTC.
	Location *time.Location
	// HashKey seeds the H fields, so that equal expressions of different tasks spread: the id of the task. The choice for a key
	// never changes.
	HashKey string
	// Gap is for fixed local times that do not exist on a date. The default is GapAtTransition.
	Gap Gap
	// Fold is for fixed local times that exist twice on a date. The default is FoldFirst.
	Fold Fold
}

const (
	// firstInstant and endInstant enclose the covered local years in every zone.
	firstInstant = -300 * secondsPerDay
	endInstant   = (lastDay + 300) * secondsPerDay
)

// Next returns the first occurrence strictly after the given instant, in the zone of the expression, or the zero time when there is
// none up to the end of the year 2199.
func (e *Expr) Next(after time.Time) time.Time {
	return e.time(e.next(min(max(after.Unix(), firstInstant), endInstant) + 1))
}

// Prev returns the last occurrence strictly before the given instant, in the zone of the expression, or the zero time when there is
// none since the beginning of the year 1970.
func (e *Expr) Prev(before time.Time) time.Time {
	t := min(max(before.Unix(), firstInstant), endInstant)
	if before.Nanosecond() == 0 {
		t--
	}
	return e.time(e.prev(t))
}

// Count returns the number of occurrences after from and not after to. It counts whole days at a time, so that a year of seconds takes
// microseconds.
func (e *Expr) Count(from, to time.Time) int64 {
	t := min(max(from.Unix(), firstInstant), endInstant) + 1
	end := min(max(to.Unix(), firstInstant), endInstant) + 1
	var n int64
	for t < end {
		s := e.line.at(t)
		n += s.count(&e.cal, t, min(end, s.end))
		t = s.end
	}
	return n
}

// String returns the fields or the descriptor as given, with single spaces and without the zone.
func (e *Expr) String() string { return e.text }

// Location returns the zone: that of the text, or else that of the options.
func (e *Expr) Location() *time.Location { return e.line.loc }

// HasHash reports whether the expression uses H, and so depends on Options.HashKey.
func (e *Expr) HasHash() bool { return e.hashed }

func (e *Expr) time(t int64) time.Time {
	if t == never || t == none {
		return time.Time{}
	}
	return time.Unix(t, 0).In(e.line.loc)
}

// next returns the first occurrence at or after t, or never.
func (e *Expr) next(t int64) int64 {
	ahead := newForward(&e.cal)
	for t < endInstant {
		s := e.line.at(t)
		if found := s.first(&ahead, t); found != never {
			return found
		}
		// Readings differ from their instants by at most reach, so whatever follows lies near a matching reading.
		t = s.end
		l := ahead.from(t - e.line.reach)
		if l == never {
			return never
		}
		t = max(t, l-e.line.reach)
	}
	return never
}

// prev returns the last occurrence at or before t, or none.
func (e *Expr) prev(t int64) int64 {
	back := newBackward(&e.cal)
	for t >= firstInstant {
		s := e.line.at(t)
		if found := s.last(&back, t); found != none {
			return found
		}
		t = s.start - 1
		l := back.from(t + e.line.reach)
		if l == none {
			return none
		}
		t = min(t, l+e.line.reach)
	}
	return none
}

// forward looks for readings and remembers the last answer, since one rare reading answers for many pieces.
type forward struct {
	cal           *calendar
	asked, answer int64 // no reading matches in [asked, answer)
}

func newForward(cal *calendar) forward { return forward{cal: cal, asked: never, answer: none} }

func (f *forward) from(l int64) int64 {
	if l < f.asked || l > f.answer {
		f.asked, f.answer = l, f.cal.next(l)
	}
	return f.answer
}

// backward does the same towards the past.
type backward struct {
	cal           *calendar
	asked, answer int64 // no reading matches in (answer, asked]
}

func newBackward(cal *calendar) backward { return backward{cal: cal, asked: none, answer: never} }

func (b *backward) from(l int64) int64 {
	if l > b.asked || l < b.answer {
		b.asked, b.answer = l, b.cal.prev(l)
	}
	return b.answer
}

// first returns the first occurrence of a stretch at or after t, or never.
func (s *stretch) first(ahead *forward, t int64) int64 {
	best := int64(never)
	for i := range s.pieces {
		p := &s.pieces[i]
		if p.to <= t {
			continue
		}
		if p.from >= best {
			break
		}
		found := ahead.from(max(t, p.from)+p.shift) - p.shift
		switch {
		case p.gap > 0 && found < p.from+p.gap:
			best = p.from
		case p.gap == 0 && found < p.to:
			best = min(best, found)
		}
	}
	return best
}

// last returns the last occurrence of a stretch at or before t, or none.
func (s *stretch) last(back *backward, t int64) int64 {
	best := int64(none)
	for i := len(s.pieces) - 1; i >= 0; i-- {
		p := &s.pieces[i]
		if p.from > t || p.to <= best {
			continue
		}
		end := min(t, p.to-1)
		if p.gap > 0 {
			end = p.from + p.gap - 1
		}
		found := back.from(end+p.shift) - p.shift
		switch {
		case found < p.from:
		case p.gap > 0:
			best = max(best, p.from)
		default:
			best = max(best, found)
		}
	}
	return best
}

// count returns how many occurrences of a stretch lie in [t, end).
func (s *stretch) count(cal *calendar, t, end int64) int64 {
	var n int64
	for t < end {
		// Up to the next bound the same pieces cover all instants.
		var only *piece
		covering, bound := 0, end
		for i := range s.pieces {
			p := &s.pieces[i]
			switch {
			case p.to <= t:
			case p.from > t:
				bound = min(bound, p.from)
			default:
				only, covering, bound = p, covering+1, min(bound, p.to)
			}
		}
		switch {
		case covering == 0:
		case covering == 1 && only.gap == 0:
			n += cal.count(t+only.shift, bound+only.shift)
		default:
			// Occurrences of two pieces can coincide here. It is the instant of a transition, or with GapShift a gap's length.
			ahead := newForward(cal)
			for f := s.first(&ahead, t); f < bound; f = s.first(&ahead, f+1) {
				n++
			}
		}
		t = bound
	}
	return n
}
