package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// readable makes text of unknown origin fit for a line: valid UTF-8 in which nothing hides. Control characters, escape sequences of terminals
// and marks that turn the direction of writing round are shown as pictures.
func readable(s string) string { return show(s, false) }

// readableText is readable for several lines.
func readableText(s string) string { return show(s, true) }

func show(s string, lines bool) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || hidden(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case lines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case lines && r == '\r': // part of an end of line, mostly
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7F:
			b.WriteRune(0x2421)
		case hidden(r):
			fmt.Fprintf(&b, "\u27E8U+%04X\u27E9", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0x200E || r == 0x200F || r == 0x061C
}

// clip cuts s to at most n bytes at a rune boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

const clockForm = "2006-01-02 15:04:05"

// stamp is a time as pages show it: in UTC, and in the viewer's zone where scripts run.
func stamp(t time.Time) template.HTML { return stampIn(t, time.UTC, true) }

// stampZone is a time in the zone of a task, which no script changes.
func stampZone(t time.Time) template.HTML { return stampIn(t, t.Location(), false) }

func stampIn(t time.Time, zone *time.Location, local bool) template.HTML {
	if t.IsZero() {
		return `<span class="muted">never</span>`
	}
	mark := ""
	if local {
		mark = " data-local"
	}
	text := t.In(zone).Format(clockForm + " MST")
	return template.HTML(fmt.Sprintf(`<time datetime="%s"%s>%s</time>`, t.UTC().Format(time.RFC3339Nano), mark, template.HTMLEscapeString(text)))
}

// duration is a length of time in at most two units.
func duration(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "−", -d
	}
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return sign + strconv.FormatInt(d.Microseconds(), 10) + " µs"
	case d < time.Second:
		return sign + strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return sign + strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	case d < time.Minute:
		return sign + strconv.FormatInt(int64(d.Seconds()), 10) + " s"
	case d < time.Hour:
		return sign + units(d, time.Minute, "min", time.Second, "s")
	case d < day:
		return sign + units(d, time.Hour, "h", time.Minute, "min")
	default:
		return sign + units(d, day, "d", time.Hour, "h")
	}
}

func units(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	text := fmt.Sprintf("%d %s", d/big, bigName)
	if rest := d % big / small; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return text
}

func seconds(s float64) string { return duration(time.Duration(s * float64(time.Second))) }

// number groups digits by thousands.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "\u202F" + text[i:]
	}
	return text
}
