package service

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// variableNames are what a message may hold between double braces; see expand.
var variableNames = []string{"{{.Now}}", "{{.Date}}", "{{.Time}}", "{{.Weekday}}", "{{.ScheduledAt}}", "{{.TaskName}}", "{{.RunID}}", "{{.LastOutput}}"}

var variable = regexp.MustCompile(`\{\{\s*\.([A-Za-z]\w*)\s*\}\}`)

// unknownVariable returns the first variable of a text that there is not, as it is written; empty when all are known. Braces around
// anything but a dot and a name are text like any other.
func unknownVariable(text string) string {
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(variableNames, "{{."+m[1]+"}}") {
			return m[0]
		}
	}
	return ""
}

// values are what the variables of one call stand for.
type values struct {
	now, scheduledAt time.Time
	zone             *time.Location
	taskName, runID  string
	lastOutput       func() (string, error) // asked only when the text wants it
}

// expand puts values in the place of variables. What a value holds is not looked at again, so an output cannot smuggle in a variable.
func (v values) expand(text string) (string, error) {
	var failed error
	out := variable.ReplaceAllStringFunc(text, func(found string) string {
		now := v.now.In(v.zone)
		switch strings.Trim(found, "{} \t\r\n.") {
		case "Now":
			return now.Format(time.RFC3339)
		case "Date":
			return now.Format(time.DateOnly)
		case "Time":
			return now.Format("15:04")
		case "Weekday":
			return now.Weekday().String()
		case "ScheduledAt":
			return v.scheduledAt.In(v.zone).Format(time.RFC3339)
		case "TaskName":
			return v.taskName
		case "RunID":
			return v.runID
		case "LastOutput":
			last, err := v.lastOutput()
			if err != nil {
				failed = err
			}
			return last
		}
		return found
	})
	return out, failed
}
