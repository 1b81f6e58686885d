// Package cronexpr reads cron expressions and answers which instants they mean, in any time zone and through every change of its
// offset. It is pure arithmetic over immutable values: no clock, no goroutine, no I/O but the loading of a zone named in the text.
//
// # Syntax
//
// An expression has five fields, six (seconds first) or seven (seconds first, year last), or is one of the descriptors
// @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually. CRON_TZ=Zone or TZ=Zone may stand before it.
//
//	field         values                  also
//	second        0-59
//	minute        0-59
//	hour          0-23
//	day of month  1-31                    ?  L  L-3  LW  L-3W  15W
//	month         1-12 or JAN-DEC
//	day of week   0-7 or SUN-SAT          ?  5#2  5L        0 and 7 are Sunday
//	year          1970-2199
//
// A field is a list of elements with commas between them:
//
//	element     meaning
//	*           every value
//	a           one value
//	a-b         a range; one that runs backwards wraps around: FRI-MON, 22-2 (not for years)
//	*/n a-b/n   every nth value of the range, from its first
//	a/n         the same as a-max/n
//	?           the same as *, in the two day fields
//	H           one value, chosen by a hash of Options.HashKey; a day of month is chosen from 1-28
//	H(a-b)      one value of the range, chosen likewise
//	H/n         every nth value, from a first one below n chosen likewise; H(a-b)/n the same within the range
//	L  L-3      the last day of the month, the third day before it
//	15W         the weekday (Monday to Friday) nearest to the 15th in the same month
//	LW  L-3W    the last weekday of the month, the weekday nearest to the third day before the last
//	5#2  5L     the second Friday of the month, the last Friday
//
// Names may be in any case and spelled out. A step is at most the number of values that the field has: */90 in the minutes,
// which elsewhere quietly means once an hour, is an error.
//
// # Days
//
// A field that begins with * or ? is a star field, also when a step follows (*/2), and so is one that begins with H/n. When both day fields
// are restricted, i.e. neither is a star field, a day matches if either of them matches; otherwise it has to match both. So
// "0 9 1 * MON" means the first of the month and also each Monday, while "0 9 */2 * MON" means Mondays with an odd date.
// This is the rule of Vixie cron, whose entry.c sets DOM_STAR and DOW_STAR by a field's first character and whose cron.c
// combines: (DOM_STAR or DOW_STAR) ? (dom and dow) : (dom or dow).
//
// # Changes of the offset
//
// Where a zone's offset grows, a range of wall-clock readings does not exist (a gap); where it shrinks, a range exists twice (a fold). It
// does not matter whether daylight saving time is the cause. There are two kinds of expressions:
//
// An expression whose minute field or hour field is a star field is a wildcard. It occurs at each instant at which the wall clock, as
// it really runs, shows a matching reading. So it keeps its elapsed cadence: it occurs in both passes of a fold, and
// readings in a gap mean nothing. That also holds where only one of the two fields is a star: "*/15 2 * * *" does
// not occur on a date without a reading between 02:00 and 02:59, and "0 */2 * * *" has no occurrence for a missing 02:00.
//
// Every other expression is fixed: a list of times of day, also if its seconds are a star or if its ranges cover the day ("0-59 0-23"
// and "0/15 0/1" are fixed; "*/15 *" is the wildcard). Each of its times occurs exactly once on each matching local date:
//   - in a fold, at the first instant that shows the reading,
//   - in a gap, at the instant of the transition, provided that the wall clock then shows the same local date. So a date that
//     a zone swallowed whole has no occurrence, and a day filter holds in a gap too.
//
// Times that meet in one instant are one occurrence: all times in one gap, and a regular one at the instant of the transition.
//
// Options.Gap and Options.Fold replace the two bullets for fixed expressions. Wildcards have no use for them.
//
// # Range
//
// Local dates from 1970-01-01 to 2199-12-31 are covered. Next answers "never again" after them, and whether an expression can ever match
// is decided over them. In these 230 years each month occurs with each of its lengths and on each weekday to begin with, so an
// expression that does not name years and has no day in them has none at all.
package cronexpr
