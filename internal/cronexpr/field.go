package cronexpr

import (
	"fmt"
	"iter"
	"strings"
)

// position numbers the fields of the longest form.
type position int

const (
	second position = iota
	minute
	hour
	dayOfMonth
	month
	dayOfWeek
	year
	positions
)

// grammar says what one field may hold.
type grammar struct {
	name     string
	min, max int
	plural   string   // "minutes", for messages and Explain
	allowed  string   // the plain values, for messages
	names    []string // names of the values from min on
}

var grammars = [positions]grammar{
	second:     {name: "second", min: 0, max: 59, plural: "seconds", allowed: "0-59"},
	minute:     {name: "minute", min: 0, max: 59, plural: "minutes", allowed: "0-59"},
	hour:       {name: "hour", min: 0, max: 23, plural: "hours", allowed: "0-23"},
	dayOfMonth: {name: "day of month", min: 1, max: 31, plural: "days", allowed: "1-31, L, L-3, LW, 15W"},
	month: {
		name: "month", min: 1, max: 12, plural: "months", allowed: "1-12 and JAN-DEC",
		names: []string{
			"January", "February", "March", "April", "May", "June",
			"July", "August", "September", "October", "November", "December",
		},
	},
	dayOfWeek: {
		name: "day of week", min: 0, max: 6, plural: "weekdays", allowed: "0-7 and SUN-SAT (0 and 7 are Sunday), 5#2, 5L",
		names: []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
	},
	year: {name: "year", min: minYear, max: maxYear, plural: "years", allowed: fmt.Sprintf("%d-%d", minYear, maxYear)},
}

// size is the number of values the field has.
func (g *grammar) size() int { return g.max - g.min + 1 }

// kind tells the forms of an element apart.
type kind uint8

const (
	every              kind = iota // * and ?
	values                         // a, a-b
	hashed                         // H, H(a-b)
	fromEnd                        // L, L-3
	nearest                        // 15W
	nearestFromEnd                 // LW, L-3W
	nthWeekday                     // 5#2
	lastWeekdayOfMonth             // 5L
)

// element is one part of a field's list.
type element struct {
	kind   kind
	lo, hi int  // the first and the last value; hi < lo wraps around. L-3 has lo 3, 15W lo 15, 5L lo 5, 5#2 lo 5
	step   int  // 0 when none was written
	nth    int  // of 5#2
	open   bool // a/n: the last value was not written
	ranged bool // H(a-b)
}

// field is one parsed field.
type field struct {
	elements []element
	star     bool // it begins with * or ?, or with H/n
}

// fieldParser reads one field of a text.
type fieldParser struct {
	*grammar
	at   position
	text string // the whole text
	pos  int    // byte offset of what comes next
	end  int    // byte offset past the field
}

func parseField(text string, from, to int, at position) (field, *Error) {
	p := &fieldParser{grammar: &grammars[at], at: at, text: text, pos: from, end: to}
	var f field
	for {
		e, err := p.element()
		if err != nil {
			return field{}, err
		}
		if len(f.elements) == 0 {
			f.star = e.kind == every || e.kind == hashed && e.step > 0 && !e.ranged
		}
		f.elements = append(f.elements, e)
		if p.pos == p.end {
			return f, nil
		}
		if !p.skip(',') {
			return field{}, p.fault(p.pos, "unexpected %q; elements are separated by commas and fields by spaces", p.rest())
		}
	}
}

func (p *fieldParser) element() (element, *Error) {
	start := p.pos
	e, steps, err := p.base()
	if err != nil || !p.skip('/') {
		return e, err
	}
	if !steps {
		return e, p.fault(p.pos-1, "%q takes no step", p.text[start:p.pos-1])
	}
	at := p.pos
	n, ok := p.number()
	if !ok || n < 1 || n > p.size() {
		return e, p.fault(at, "%q is no step; allowed are 1-%d, the number of %s", p.word(at), p.size(), p.plural)
	}
	e.step = n
	if e.kind == values && e.lo == e.hi && !strings.Contains(p.text[start:at], "-") {
		e.open, e.hi = true, p.max
	}
	return e, nil
}

// base reads an element up to its step and tells whether it may have one.
func (p *fieldParser) base() (e element, steps bool, err *Error) {
	start := p.pos
	days := p.at == dayOfMonth || p.at == dayOfWeek
	switch {
	case p.skip('*'):
		return element{kind: every, lo: p.min, hi: p.max}, true, nil
	case p.peek() == '?':
		if !days {
			return e, false, p.fault(start, "? stands in the two day fields only; write * here")
		}
		p.pos++
		return element{kind: every, lo: p.min, hi: p.max}, false, nil
	case p.letters() == "H":
		p.pos++
		e, err = p.hash(start)
		return e, true, err
	case p.at == dayOfMonth && (p.letters() == "L" || p.letters() == "LW"):
		e, err = p.last()
		return e, false, err
	}

	lo, err := p.value()
	if err != nil {
		return e, false, err
	}
	e = element{kind: values, lo: p.fold(lo), hi: p.fold(lo)}
	switch next := p.peek(); {
	case p.at == dayOfMonth && (next == 'W' || next == 'w'):
		p.pos++
		e.kind = nearest
		return e, false, nil
	case p.at == dayOfWeek && (next == 'L' || next == 'l'):
		p.pos++
		e.kind = lastWeekdayOfMonth
		return e, false, nil
	case p.at == dayOfWeek && next == '#':
		p.pos++
		at := p.pos
		n, ok := p.number()
		if !ok || n < 1 || n > 5 {
			return e, false, p.fault(at, "%q is no place in a month; allowed behind # are 1-5", p.word(at))
		}
		e.kind, e.nth = nthWeekday, n
		return e, false, nil
	case next == '-':
		p.pos++
		at := p.pos
		hi, err := p.value()
		if err != nil {
			return e, false, err
		}
		if p.at == dayOfWeek && lo < hi && hi == 7 {
			// 5-7 ends on Sunday, which is the first weekday: FRI-SUN wraps around. 0-7 is the whole week.
			if lo == 0 {
				hi = 6
			}
		}
		e.hi = p.fold(hi)
		if p.at == year && hi < lo {
			return e, false, p.fault(at, "%d lies before %d; years do not wrap around", hi, lo)
		}
	}
	return e, true, nil
}

// hash reads what follows an H.
func (p *fieldParser) hash(start int) (element, *Error) {
	e := element{kind: hashed, lo: p.min, hi: p.max}
	if p.at == year {
		return e, p.fault(start, "H is not for years; allowed are %s", p.allowed)
	}
	if !p.skip('(') {
		if p.at == dayOfMonth && p.peek() != '/' {
			e.hi = 28 // a day that every month has
		}
		return e, nil
	}
	lo, err := p.value()
	if err != nil {
		return e, err
	}
	if !p.skip('-') {
		return e, p.fault(p.pos, "a range such as H(%d-%d) is allowed behind H", p.min, p.max)
	}
	hi, err := p.value()
	if err != nil {
		return e, err
	}
	if !p.skip(')') {
		return e, p.fault(p.pos, "the range behind H ends with )")
	}
	e.lo, e.hi, e.ranged = p.fold(lo), p.fold(hi), true
	return e, nil
}

// last reads the forms of a day of month that count from the end.
func (p *fieldParser) last() (element, *Error) {
	p.pos++
	e := element{kind: fromEnd}
	if p.skip('-') {
		at := p.pos
		n, ok := p.number()
		if !ok || n < 1 || n > 30 {
			return e, p.fault(at, "%q is no number of days before the last; allowed behind L- are 1-30", p.word(at))
		}
		e.lo = n
	}
	if p.skip('W') || p.skip('w') {
		e.kind = nearestFromEnd
	}
	return e, nil
}

// value reads a number or a name. The 7 of Sunday is returned as such.
func (p *fieldParser) value() (int, *Error) {
	start := p.pos
	if n, ok := p.number(); ok {
		if n >= p.min && n <= p.max || p.at == dayOfWeek && n == 7 {
			return n, nil
		}
		return 0, p.fault(start, "%s is out of range; allowed are %s", p.text[start:p.pos], p.allowed)
	}
	if word := p.letters(); word != "" && p.names != nil {
		for i, name := range p.names {
			spelled := word
			if p.at == dayOfWeek {
				spelled = strings.TrimSuffix(word, "L") // no weekday ends on it
			}
			if strings.EqualFold(spelled, name) || strings.EqualFold(spelled, name[:3]) {
				p.pos += len(spelled)
				return p.min + i, nil
			}
		}
	}
	word := p.word(start)
	switch {
	case word == "":
		return 0, p.fault(start, "a value is missing; allowed are %s", p.allowed)
	case p.at == dayOfWeek && p.letters() == "L":
		return 0, p.fault(start, "L needs a weekday before it, such as 5L for the last Friday of the month")
	}
	return 0, p.fault(start, "%q is not allowed; allowed are %s", word, p.allowed)
}

// fold makes the 7 of Sunday a 0.
func (p *fieldParser) fold(v int) int {
	if p.at == dayOfWeek && v == 7 {
		return 0
	}
	return v
}

// number reads digits. What has more of them than any value becomes a number that is too large.
func (p *fieldParser) number() (n int, ok bool) {
	for p.pos < p.end && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
		n = min(n*10+int(p.text[p.pos]-'0'), 1_000_000)
		p.pos++
		ok = true
	}
	return n, ok
}

// letters returns the letters that come next, in upper case, and does not step over them.
func (p *fieldParser) letters() string {
	i := p.pos
	for i < p.end && (p.text[i]|0x20 >= 'a' && p.text[i]|0x20 <= 'z') {
		i++
	}
	return strings.ToUpper(p.text[p.pos:i])
}

// word returns the text from an offset to the end of the element, for messages.
func (p *fieldParser) word(from int) string {
	rest := p.text[from:p.end]
	if i := strings.IndexByte(rest, ','); i >= 0 {
		rest = rest[:i]
	}
	return shortened(rest)
}

func (p *fieldParser) rest() string { return shortened(p.text[p.pos:p.end]) }

func (p *fieldParser) peek() byte {
	if p.pos == p.end {
		return 0
	}
	return p.text[p.pos]
}

func (p *fieldParser) skip(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.pos++
	return true
}

func (p *fieldParser) fault(offset int, reason string, args ...any) *Error {
	return fault(p.text, p.name, offset, reason, args...)
}

// shortened cuts what a message quotes.
func shortened(s string) string {
	if r := []rune(s); len(r) > 20 {
		return string(r[:20]) + "..."
	}
	return s
}

// length is the number of values from lo to hi, around the end if hi is less.
func (g *grammar) length(lo, hi int) int {
	if hi < lo {
		hi += g.size()
	}
	return hi - lo + 1
}

// expand yields the values of a range with a step, in the order of the range.
func (g *grammar) expand(lo, hi, step int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < g.length(lo, hi); i += max(step, 1) {
			v := lo + i
			if v > g.max {
				v -= g.size()
			}
			if !yield(v) {
				return
			}
		}
	}
}
