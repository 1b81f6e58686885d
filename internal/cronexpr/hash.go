package cronexpr

import "hash/fnv"

// hashOf returns what the H elements of a field choose by. Stored tasks rely on their choices: it must never change.
func hashOf(key string, at position) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // a hash never fails
	_, _ = h.Write([]byte{0, byte(at)})
	// FNV's low bits follow the last byte closely; the finalizer of MurmurHash3 spreads them.
	sum := h.Sum64()
	sum ^= sum >> 33
	sum *= 0xff51afd7ed558ccd
	sum ^= sum >> 33
	sum *= 0xc4ceb9fe1a85ec53
	sum ^= sum >> 33
	return sum
}

// choices returns how many different meanings an H element has.
func (e element) choices(g *grammar) uint64 {
	length := g.length(e.lo, e.hi)
	if e.step > 0 {
		length = min(e.step, length)
	}
	return uint64(length)
}

// resolve returns the plain element that an H element means for a hash: one value of its range, or all from a first one on, in
// steps.
func (e element) resolve(g *grammar, hash uint64) element {
	first := e.lo + int(hash%e.choices(g))
	if first > g.max {
		first -= g.size()
	}
	chosen := element{kind: values, lo: first, hi: first}
	if e.step > 0 {
		chosen.hi, chosen.step, chosen.open = e.hi, e.step, !e.ranged
	}
	return chosen
}

// canFail reports whether H elements in the fields of days could choose for some key so that no date matches. The check
// drops all but a field's first H, which can only make a date harder to match.
func canFail(fields *[positions]field) bool {
	var fixed calendar
	choosing := [positions]element{}
	for at := dayOfMonth; at <= year; at++ {
		for _, e := range fields[at].elements {
			switch {
			case e.kind != hashed:
				fixed.add(e, at)
			case choosing[at].kind != hashed:
				choosing[at] = e
			}
		}
	}
	fixed.eitherDay = !fields[dayOfMonth].star && !fields[dayOfWeek].star

	var fails func(c calendar, at position) bool
	fails = func(c calendar, at position) bool {
		if at > dayOfWeek {
			return c.nextDay(0) == never
		}
		e := choosing[at]
		if e.kind != hashed {
			return fails(c, at+1)
		}
		for choice := range e.choices(&grammars[at]) {
			with := c
			with.add(e.resolve(&grammars[at], choice), at)
			if fails(with, at+1) {
				return true
			}
		}
		return false
	}
	return fails(fixed, dayOfMonth)
}
