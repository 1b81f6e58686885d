// Package rrule adds recurrence rules of iCalendar (RFC 5545) to the schedules of punctual. Importing it registers the kind "rrule" for
// punctual.ParseSchedule; a program that only reads them imports it for that effect:
//
//	import _ "github.com/punctual-go/punctual/schedule/rrule"
//
// The text form is what stands in a calendar file, on one line or several:
//
//	rrule DTSTART;TZID=Europe/Berlin:20270104T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE
//
// # What is read
//
// DTSTART is required and has a zone: TZID= with a name of the tz database, or a Z for UTC. A time without either, and a date without a time, would
// mean something else on each machine. Besides there is one RRULE, any number of RDATE and EXDATE lines, or only RDATE. A rule has the parts of
// RFC 5545 in the combinations that it allows, so that a mistake is an error and not a schedule that surprises. A rule that never
// occurs, or not before the year 2200, is an error when it is read.
//
// DTSTART is an occurrence only if the rule has it, as in most programs; RFC 5545 leaves open what a start means that its own rule
// does not have.
//
// # Changes of the clock
//
// The rule is evaluated in readings of the clock, and each becomes an instant as RFC 5545 says (section 3.3.5): one that comes twice
// means the first, one that the clock jumps over is read with the offset before the jump, so that 02:30 becomes 03:30. Readings that meet
// in one instant are one occurrence. A rule in hours, minutes or seconds counts readings, too, so it is steady only in UTC: where
// elapsed time is meant, use punctual.Every.
package rrule
