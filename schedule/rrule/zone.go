package rrule

import "time"

// span is a range of instants [from, to) in which a zone has one offset.
type span struct{ from, to, offset int64 }

// spans lists the offsets of a zone around a range of instants, without gaps between them.
func spans(loc *time.Location, from, to int64) []span {
	var list []span
	for t := from; t <= to; {
		at := time.Unix(t, 0).In(loc)
		_, offset := at.Zone()
		end := to + 1
		if _, bound := at.ZoneBounds(); !bound.IsZero() {
			end = bound.Unix()
			if end <= t {
				// ZoneBounds counts a leap year's days as if there were 365, so that on the last day the bound lies before it.
				end = time.Date(at.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
			}
		}
		if n := len(list); n > 0 && list[n-1].offset == int64(offset) {
			list[n-1].to = end
		} else {
			list = append(list, span{t, end, int64(offset)})
		}
		t = end
	}
	return list
}

// aDay is more than two neighbouring offsets of a zone differ by, with room.
const aDay = 26 * 60 * 60

// instant is when a zone's clock shows the reading: of several times the first; one that is jumped over is read with the offset before the
// jump. The spans reach from a day and a half before the reading to as much behind it.
func instant(list []span, reading int64) int64 {
	at := reading
	for i, s := range list {
		at = reading - s.offset
		if i > 0 && at < s.from {
			return reading - list[i-1].offset
		}
		if at < s.to {
			return at
		}
	}
	return at
}
