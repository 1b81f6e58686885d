package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// nextShown is how many of the next times a page lists.
const nextShown = 10

// maxSpec is the longest schedule text that is looked at; definitions may not have longer ones either.
const maxSpec = 4096

func ofTask(s punctual.Schedule, id string) punctual.Schedule {
	if p, ok := s.(punctual.PerTask); ok {
		return p.ForTask(id)
	}
	return s
}

// zoneOf returns the zone that a schedule is meant in: that of its occurrences, or UTC.
func zoneOf(s punctual.Schedule, now time.Time) *time.Location {
	if s == nil {
		return time.UTC
	}
	if times := punctual.Upcoming(s, now, 1); len(times) == 1 {
		return times[0].Location()
	}
	if r, ok := s.(punctual.Ranged); ok {
		if prev := r.Prev(now); !prev.IsZero() {
			return prev.Location()
		}
	}
	return time.UTC
}

// preview is what a schedule text would mean for a task registered now.
type preview struct {
	Schedule string      `json:"schedule"` // in its usual form
	Words    string      `json:"words"`
	Zone     string      `json:"zone"`
	Next     []time.Time `json:"next"`
}

func (d *dashboard) preview(spec, taskID string, n int) (preview, error) {
	spec = strings.TrimSpace(spec)
	if len(spec) > maxSpec {
		return preview{}, fmt.Errorf("%w: the text is longer than %d bytes", punctual.ErrInvalidSchedule, maxSpec)
	}
	s, err := punctual.ParseSchedule(spec)
	if err != nil {
		return preview{}, err
	}
	now := d.clock.Now()
	p := preview{Schedule: s.String(), Words: punctual.Explain(s), Zone: zoneOf(s, now).String(), Next: []time.Time{}}
	s = ofTask(s, taskID)
	if i, ok := s.(punctual.Interval); ok && i.Delayed() {
		n = min(n, 1) // later ones depend on when runs end
	}
	p.Next = append(p.Next, punctual.Upcoming(s, now, n)...)
	return p, nil
}
