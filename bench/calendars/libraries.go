package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/jonboulle/clockwork"
	netresearch "github.com/netresearch/go-cron"
	"github.com/reugn/go-quartz/quartz"
	robfig "github.com/robfig/cron/v3"

	"github.com/punctual-go/punctual"
)

// next computes the next instant after another. The zero time means that there is none.
type next func(after time.Time) (time.Time, error)

// library is one way of evaluating calendars.
type library struct {
	key    string // in questions
	title  string // in tables
	module string

	// translate writes a cron expression as the library reads it.
	translate func(expr string) string
	// parse reads an expression in a zone. This is also what is timed.
	parse func(expr string, loc *time.Location) (next, error)
	// sequence, where it is set, takes the place of parse for answers: what it returns gives the instant with the number i,
	// from 0, that follows the start.
	sequence func(expr string, loc *time.Location, start time.Time) (func(i int) (time.Time, error), error)
}

// ours comes first: times are compared with its.
var libraries = []library{
	{key: "punctual", title: "Punctual", module: "github.com/punctual-go/punctual", translate: same, parse: parsePunctual},
	{key: "robfig", title: "robfig/cron", module: "github.com/robfig/cron/v3", translate: same, parse: parseRobfig},
	{
		key: "gocron", title: "gocron", module: "github.com/go-co-op/gocron/v2", translate: same, parse: parseGocron,
		sequence: sequenceGocron(gocron.DaylightSavingsTimeDefault),
	},
	{
		key: "gocron-after", title: "gocron, RunAfterTransition", module: "github.com/go-co-op/gocron/v2", translate: same,
		sequence: sequenceGocron(gocron.DaylightSavingsTimeRunAfterTransition),
	},
	{key: "go-cron", title: "netresearch/go-cron", module: "github.com/netresearch/go-cron", translate: forNetresearch, parse: parseNetresearch},
	{key: "go-quartz", title: "go-quartz", module: "github.com/reugn/go-quartz", translate: forQuartz, parse: parseQuartz},
}

func libraryOf(key string) (library, error) {
	for _, lib := range libraries {
		if lib.key == key {
			return lib, nil
		}
	}
	return library{}, fmt.Errorf("there is no library %q", key)
}

// follow returns the instants that the library gives after a start, one by one.
func (lib library) follow(expr string, loc *time.Location, start time.Time) (func(i int) (time.Time, error), error) {
	expr = lib.translate(expr)
	if lib.sequence != nil {
		return lib.sequence(expr, loc, start)
	}
	next, err := lib.parse(expr, loc)
	if err != nil {
		return nil, err
	}
	at := start.In(loc)
	return func(int) (time.Time, error) {
		at, err = next(at)
		return at, err
	}, nil
}

func same(expr string) string { return expr }

// hasSeconds reports whether an expression has a field for seconds.
func hasSeconds(expr string) bool { return len(strings.Fields(expr)) > 5 }

func parsePunctual(expr string, loc *time.Location) (next, error) {
	s, err := punctual.Cron(expr, loc)
	if err != nil {
		return nil, err
	}
	return func(after time.Time) (time.Time, error) { return s.Next(after), nil }, nil
}

func parseRobfig(expr string, loc *time.Location) (next, error) {
	parser := robfig.NewParser(robfig.SecondOptional | robfig.Minute | robfig.Hour | robfig.Dom | robfig.Month | robfig.Dow | robfig.Descriptor)
	s, err := parser.Parse("CRON_TZ=" + loc.String() + " " + expr)
	if err != nil {
		return nil, err
	}
	return func(after time.Time) (time.Time, error) { return s.Next(after), nil }, nil
}

// parseGocron is what gocron's cron jobs compute with. Their handling of changes of the clock lies in the scheduler: see sequenceGocron.
func parseGocron(expr string, loc *time.Location) (next, error) {
	c := gocron.NewDefaultCron(hasSeconds(expr))
	if err := c.IsValid(expr, loc, time.Unix(0, 0).In(loc)); err != nil {
		return nil, err
	}
	return func(after time.Time) (time.Time, error) { return c.Next(after), nil }, nil
}

// sequenceGocron asks a cron job in a started scheduler, whose clock stands at the start, for its next runs.
func sequenceGocron(policy gocron.DaylightSavingsTimePolicy) func(string, *time.Location, time.Time) (func(int) (time.Time, error), error) {
	return func(expr string, loc *time.Location, start time.Time) (func(int) (time.Time, error), error) {
		s, err := gocron.NewScheduler(gocron.WithLocation(loc), gocron.WithClock(clockwork.NewFakeClockAt(start)))
		if err != nil {
			return nil, err
		}
		s.Start()
		job, err := s.NewJob(gocron.CronJob(expr, hasSeconds(expr)), gocron.NewTask(func() {}), gocron.WithDaylightSavingsTimePolicy(policy))
		if err != nil {
			return nil, errors.Join(err, s.Shutdown())
		}
		return func(i int) (time.Time, error) {
			runs, err := job.NextRuns(i + 1)
			if err != nil || len(runs) <= i {
				return time.Time{}, err
			}
			return runs[i], nil
		}, nil
	}
}

func parseNetresearch(expr string, loc *time.Location) (next, error) {
	s, err := netresearch.FullParser().Parse("CRON_TZ=" + loc.String() + " " + expr)
	if err != nil {
		return nil, err
	}
	return func(after time.Time) (time.Time, error) { return s.Next(after), nil }, nil
}

// forNetresearch writes the last Friday as 5#L.
func forNetresearch(expr string) string {
	fields := strings.Fields(expr)
	day := &fields[len(fields)-1]
	if name, last := strings.CutSuffix(*day, "L"); last && name != "" {
		*day = name + "#L"
	}
	return strings.Join(fields, " ")
}

func parseQuartz(expr string, loc *time.Location) (next, error) {
	trigger, err := quartz.NewCronTriggerWithLoc(expr, loc)
	if err != nil {
		return nil, err
	}
	return func(after time.Time) (time.Time, error) {
		at, err := trigger.NextFireTime(after.UnixNano())
		if err != nil {
			return time.Time{}, err
		}
		return time.Unix(0, at), nil
	}, nil
}

// forQuartz puts the seconds in front, ? in place of the day field that restricts nothing, and names in place of the numbers of
// weekdays, which begin with 1 for Sunday there. The library refuses two day fields that both restrict; they stay as they are.
func forQuartz(expr string) string {
	fields := strings.Fields(expr)
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	month, week := &fields[3], &fields[5]
	if *week == "*" {
		*week = "?"
	} else if *month == "*" {
		*month = "?"
	}
	names := []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}
	number, rest, nth := strings.Cut(*week, "#") // what follows is no weekday
	var b strings.Builder
	for _, r := range number {
		if r >= '0' && r <= '7' {
			b.WriteString(names[r-'0'])
			continue
		}
		b.WriteRune(r)
	}
	*week = b.String()
	if nth {
		*week += "#" + rest
	}
	return strings.Join(fields, " ")
}
