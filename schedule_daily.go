package punctual

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Daily returns the schedule of one or more times each day: "09:30", "09:30:15" or "09:30,17:00". A nil zone means UTC. A text that is no list of
// times gives a schedule without occurrences, which Task.Validate reports.
func Daily(times string, loc *time.Location) CalendarSchedule {
	return clockSchedule("daily", "", times, loc, func() (days, error) {
		return days{field: "* * *", words: "every day"}, nil
	})
}

// Weekly returns the schedule of one or more times on some weekdays: "mon,fri" or "mon-fri", then times as for Daily. A nil zone means UTC.
// Arguments that cannot be read give a schedule without occurrences, which Task.Validate reports.
func Weekly(weekdays, times string, loc *time.Location) CalendarSchedule {
	return clockSchedule("weekly", weekdays, times, loc, func() (days, error) { return parseWeekdays(weekdays) })
}

// Monthly returns the schedule of one or more times on some days of each month, then times as for Daily. A nil zone means UTC. The days are
//
//	15         the 15th; months without that day are left out
//	last       the last day
//	last-2     two days before the last
//	1,15,last  all of these
//	last workday
//	           the last day from Monday to Friday
//	2nd tue    the second Tuesday; 1st, 2nd, 3rd, 4th, 5th and last are allowed
//	1st,3rd fri
//
// Arguments that cannot be read give a schedule without occurrences, which Task.Validate reports.
func Monthly(daysOfMonth, times string, loc *time.Location) CalendarSchedule {
	return clockSchedule("monthly", daysOfMonth, times, loc, func() (days, error) { return parseMonthDays(daysOfMonth) })
}

// days is a set of dates: as the last three fields of a cron expression, as text, in words.
type days struct{ field, text, words string }

func clockSchedule(kind, dayText, timeText string, loc *time.Location, parse func() (days, error)) CalendarSchedule {
	def := calendarDef{kind: kind, zone: time.UTC, what: strings.TrimSpace(dayText + " " + timeText)}
	which, err := parse()
	if err != nil {
		def.err = err
		return def.schedule()
	}
	times, err := parseTimes(timeText)
	if err != nil {
		def.err = err
		return def.schedule()
	}
	if def.zone, err = portableZone(loc); err != nil {
		def.zone, def.zoneless, def.err = time.UTC, true, err
		return def.schedule()
	}
	texts := make([]string, len(times))
	for i, t := range times {
		texts[i] = t.String()
	}
	def.what = strings.TrimSpace(which.text + " " + strings.Join(texts, ","))
	def.words = which.words + " at " + listWords(texts)
	def.texts = timeFields(times, which.field)
	return def.schedule()
}

// timeOfDay is in seconds since midnight.
type timeOfDay int

func (t timeOfDay) hour() int   { return int(t) / 3600 }
func (t timeOfDay) minute() int { return int(t) / 60 % 60 }
func (t timeOfDay) second() int { return int(t) % 60 }

func (t timeOfDay) String() string {
	if t.second() == 0 {
		return fmt.Sprintf("%02d:%02d", t.hour(), t.minute())
	}
	return fmt.Sprintf("%02d:%02d:%02d", t.hour(), t.minute(), t.second())
}

// parseTimes reads a list of times of day; the answer is in order and has each once.
func parseTimes(text string) ([]timeOfDay, error) {
	var times []timeOfDay
	for _, part := range strings.Split(text, ",") {
		t, ok := parseTime(strings.TrimSpace(part))
		if !ok {
			return nil, fmt.Errorf("%w: %q is not a time of day; allowed are 00:00 to 23:59, with seconds as in 09:30:15, and several with commas between them",
				ErrInvalidSchedule, clip(part, 32))
		}
		times = append(times, t)
	}
	slices.Sort(times)
	return slices.Compact(times), nil
}

func parseTime(text string) (timeOfDay, bool) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	limits, t := [3]int{23, 59, 59}, 0
	for i := range 3 {
		n := 0
		if i < len(parts) {
			p := parts[i]
			if len(p) > 2 || len(p) < 1 || i > 0 && len(p) != 2 || strings.Trim(p, "0123456789") != "" {
				return 0, false
			}
			n, _ = strconv.Atoi(p)
		}
		if n > limits[i] {
			return 0, false
		}
		t = t*60 + n
	}
	return timeOfDay(t), true
}

// timeFields makes the fewest cron expressions for the times: those with the same second and the same hours share one.
func timeFields(times []timeOfDay, dayFields string) []string {
	type minute struct {
		second, minute int
		hours          string
	}
	var minutes []minute
	for _, t := range times {
		i := slices.IndexFunc(minutes, func(m minute) bool { return m.second == t.second() && m.minute == t.minute() })
		if i < 0 {
			i, minutes = len(minutes), append(minutes, minute{t.second(), t.minute(), ""})
		}
		minutes[i].hours = appendNumber(minutes[i].hours, t.hour())
	}
	type group struct {
		second         int
		minutes, hours string
	}
	var groups []group
	for _, m := range minutes {
		i := slices.IndexFunc(groups, func(g group) bool { return g.second == m.second && g.hours == m.hours })
		if i < 0 {
			i, groups = len(groups), append(groups, group{m.second, "", m.hours})
		}
		groups[i].minutes = appendNumber(groups[i].minutes, m.minute)
	}
	fields := make([]string, len(groups))
	for i, g := range groups {
		fields[i] = fmt.Sprintf("%d %s %s %s", g.second, g.minutes, g.hours, dayFields)
	}
	return fields
}

func appendNumber(list string, n int) string {
	if list != "" {
		list += ","
	}
	return list + strconv.Itoa(n)
}

// weekdayNames are in the order of the week that text forms use.
var weekdayNames = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// parseWeekday reads a weekday's name, in any case, short or long; the answer counts from Monday.
func parseWeekday(text string) (int, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	for i := range 7 {
		if long := strings.ToLower(weekdayName(i)); text == long || text == long[:3] {
			return i, true
		}
	}
	return 0, false
}

func weekdayName(fromMonday int) string { return time.Weekday((fromMonday + 1) % 7).String() }

func parseWeekdays(text string) (days, error) {
	var set [7]bool
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, ok := parseWeekday(first)
		to, ok2 := from, true
		if isRange {
			to, ok2 = parseWeekday(last)
		}
		if !ok || !ok2 {
			return days{}, fmt.Errorf("%w: %q is not a weekday; allowed are mon, tue, wed, thu, fri, sat, sun, ranges as in mon-fri, and several with commas between them",
				ErrInvalidSchedule, clip(part, 32))
		}
		for d := from; ; d = (d + 1) % 7 {
			set[d] = true
			if d == to {
				break
			}
		}
	}
	var names, long []string
	for i, in := range set {
		if in {
			names, long = append(names, weekdayNames[i]), append(long, weekdayName(i))
		}
	}
	text = strings.Join(names, ",")
	return days{field: "* * " + text, text: text, words: "every " + listWords(long)}, nil
}

func monthDaysFault(part string) error {
	return fmt.Errorf("%w: %q is not a day of the month; allowed are 1 to 31, last, last-1 to last-30, several of these with commas between them, last workday, "+
		"and 1st to 5th or last with a weekday as in \"2nd tue\"", ErrInvalidSchedule, clip(part, 32))
}

func parseMonthDays(text string) (days, error) {
	words := strings.Fields(strings.ToLower(text))
	switch {
	case len(words) == 2 && words[0] == "last" && words[1] == "workday":
		return days{"LW * *", "last workday", "on the last workday of each month"}, nil
	case len(words) == 2:
		return parseNthWeekday(words[0], words[1])
	case len(words) == 1:
		return parseDates(words[0])
	}
	return days{}, monthDaysFault(text)
}

var nthNames = []string{"1st", "2nd", "3rd", "4th", "5th", "last"}

func parseNthWeekday(which, weekday string) (days, error) {
	w, ok := parseWeekday(weekday)
	if !ok {
		return days{}, monthDaysFault(which + " " + weekday)
	}
	var nths []int
	for _, part := range strings.Split(which, ",") {
		n := slices.Index(nthNames, part)
		if n < 0 {
			return days{}, monthDaysFault(part)
		}
		nths = append(nths, n)
	}
	slices.Sort(nths)
	nths = slices.Compact(nths)
	var fields, texts []string
	for _, n := range nths {
		field := fmt.Sprintf("%d#%d", (w+1)%7, n+1)
		if nthNames[n] == "last" {
			field = fmt.Sprintf("%dL", (w+1)%7)
		}
		fields, texts = append(fields, field), append(texts, nthNames[n])
	}
	return days{
		field: "* * " + strings.Join(fields, ","),
		text:  strings.Join(texts, ",") + " " + weekdayNames[w],
		words: "on the " + listWords(texts) + " " + weekdayName(w) + " of each month",
	}, nil
}

// monthDate is a day of the month: counted from the first, or from the last, which is 0.
type monthDate struct {
	fromLast bool
	n        int
}

func parseDates(text string) (days, error) {
	var dates []monthDate
	for _, part := range strings.Split(text, ",") {
		d, ok := parseDate(part)
		if !ok {
			return days{}, monthDaysFault(part)
		}
		dates = append(dates, d)
	}
	slices.SortFunc(dates, func(a, b monthDate) int {
		switch {
		case a.fromLast != b.fromLast && a.fromLast:
			return 1
		case a.fromLast != b.fromLast:
			return -1
		case a.fromLast:
			return cmp.Compare(b.n, a.n)
		}
		return cmp.Compare(a.n, b.n)
	})
	dates = slices.Compact(dates)
	var fields, texts, words []string
	for _, d := range dates {
		switch {
		case !d.fromLast:
			n := strconv.Itoa(d.n)
			fields, texts, words = append(fields, n), append(texts, n), append(words, ordinal(d.n))
		case d.n == 0:
			fields, texts, words = append(fields, "L"), append(texts, "last"), append(words, "last day")
		default:
			fields = append(fields, fmt.Sprintf("L-%d", d.n))
			texts = append(texts, fmt.Sprintf("last-%d", d.n))
			words = append(words, ordinal(d.n)+" day before the last")
		}
	}
	return days{
		field: strings.Join(fields, ",") + " * *",
		text:  strings.Join(texts, ","),
		words: "on the " + listWords(words) + " of each month",
	}, nil
}

func parseDate(text string) (monthDate, bool) {
	if text == "last" {
		return monthDate{fromLast: true}, true
	}
	number, fromLast := strings.CutPrefix(text, "last-")
	if len(number) < 1 || len(number) > 2 || strings.Trim(number, "0123456789") != "" {
		return monthDate{}, false
	}
	n, _ := strconv.Atoi(number)
	if n < 1 || n > 31 || fromLast && n > 30 {
		return monthDate{}, false
	}
	return monthDate{fromLast, n}, true
}

func ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

// listWords joins parts as people do: a, b and c.
func listWords(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// parseClock reads what stands behind "daily", "weekly" or "monthly": days up to the first time of day, times, the zone, policies.
func parseClock(kind, args string) (Schedule, error) {
	// A list may be written with spaces behind its commas.
	args = strings.Join(strings.Fields(args), " ")
	words, gap, fold, err := cutPolicies(strings.Fields(strings.ReplaceAll(args, ", ", ",")))
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, ":") && w[0] != '+' && w[0] != '-' })
	if at < 0 {
		return nil, badSchedule(kind+" "+args, "a time of day such as 09:30 is missing")
	}
	before, behind := strings.Join(words[:at], " "), words[at+1:]
	if len(behind) > 1 {
		return nil, badSchedule(kind+" "+args, "behind the time may stand a zone, gap= and fold=, not %q", clip(strings.Join(behind, " "), 64))
	}
	loc, err := parseZone(strings.Join(behind, ""))
	if err != nil {
		return nil, err
	}
	var s CalendarSchedule
	switch {
	case kind == "weekly":
		s = Weekly(before, words[at], loc)
	case kind == "monthly":
		s = Monthly(before, words[at], loc)
	case before != "":
		return nil, badSchedule(kind+" "+args, "the time of day stands first, not %q", clip(before, 64))
	default:
		s = Daily(words[at], loc)
	}
	return s.with(gap, fold), nil
}
