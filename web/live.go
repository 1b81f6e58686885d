package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

const (
	pulseEvery   = time.Second
	streamLife   = 5 * time.Minute  // then the browser connects anew and is asked again who it is
	streamWrite  = 10 * time.Second // for one write
	quietComment = 15 * time.Second // a comment that often keeps proxies from closing the stream
	pulseRuns    = 100
)

// live is a stream of server-sent events: one event "change" each time that what a page shows has changed. The request's own goroutine looks once a
// second; what it finds is shared with all who watch the same, so viewers cost little more than one viewer, and nobody costs nothing.
func (d *dashboard) live(w http.ResponseWriter, r *http.Request) {
	view, query, _ := strings.Cut(r.URL.Query().Get("view"), "?")
	values, err := url.ParseQuery(query)
	access := Access{Action: ActionView}
	switch view {
	case "task":
		access.TaskID = values.Get("id")
	case "run":
		access.RunID = values.Get("id")
	}
	if _, ok := d.may(w, r, access); !ok {
		return
	}
	if err != nil {
		d.fail(w, r, problem{http.StatusBadRequest, "The view cannot be read."})
		return
	}
	if d.watched.Add(1) > int64(d.viewers) {
		d.watched.Add(-1)
		w.Header().Set("Retry-After", "60")
		d.fail(w, r, problem{http.StatusServiceUnavailable, "Too many pages are being watched."})
		return
	}
	defer d.watched.Add(-1)

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	write := func(text string) bool {
		// A server or a recorder that knows no deadlines has its own ways.
		_ = control.SetWriteDeadline(d.clock.Now().Add(streamWrite))
		_, err := w.Write([]byte(text))
		return err == nil && control.Flush() == nil
	}
	w.WriteHeader(http.StatusOK)
	began := d.clock.Now()
	said := began
	last := cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("seen")) // what the page has seen when the stream broke, or when it was made
	if !write("retry: 2000\n\n") {
		return
	}
	for {
		pulse, err := d.pulse(r.Context(), view, values)
		now := d.clock.Now()
		switch {
		case r.Context().Err() != nil:
			return
		case err != nil: // the store fails: the page stays as it is
		case pulse != last:
			if !write("id: " + pulse + "\nevent: change\ndata:\n\n") {
				return
			}
			last, said = pulse, now
		}
		if now.Sub(began) > streamLife {
			return
		}
		if now.Sub(said) > quietComment {
			if !write(":\n\n") {
				return
			}
			said = now
		}
		timer := d.clock.Timer(pulseEvery)
		select {
		case <-timer.C:
		case <-r.Context().Done():
			timer.Stop()
			return
		}
	}
}

// pulse is a text that changes when what a page shows does.
func (d *dashboard) pulse(ctx context.Context, view string, q url.Values) (string, error) {
	common, err := d.pulses.get(ctx, "", func(ctx context.Context, _ string) (string, error) {
		return digest(func(h hash.Hash) error { return d.pulseOfRuns(ctx, h) })
	})
	if err != nil {
		return "", err
	}
	own := ""
	switch view {
	case "task":
		own, err = d.pulses.get(ctx, "task\x00"+q.Get("id"), func(ctx context.Context, _ string) (string, error) {
			return digest(func(h hash.Hash) error {
				s, err := d.s.Task(ctx, q.Get("id"))
				putTask(h, &s)
				return skipMissing(err)
			})
		})
	case "tasks":
		own, err = d.pulses.get(ctx, "tasks\x00"+q.Encode(), func(ctx context.Context, _ string) (string, error) {
			return digest(func(h hash.Hash) error {
				list, err := taskListOf(q, 50)
				if err != nil { // the page says so, and will not change
					return nil
				}
				page, err := d.tasks(ctx, list)
				for i := range page.Tasks {
					b := &page.Tasks[i]
					fmt.Fprintln(h, b.ID, b.Name, b.Standing, b.Schedule, b.NextRunAt.UnixMicro(), b.LastRun, b.LastState)
				}
				return err
			})
		})
	case "instances":
		own, err = d.pulses.get(ctx, "instances", func(ctx context.Context, _ string) (string, error) {
			return digest(func(h hash.Hash) error {
				found, err := d.s.Instances(ctx)
				for _, i := range found {
					fmt.Fprintln(h, i.Session, i.LastSeenAt.UnixMicro(), i.InFlight, i.Kinds)
				}
				return err
			})
		})
	case "run":
		own, err = d.pulses.get(ctx, "run\x00"+q.Get("id"), func(ctx context.Context, _ string) (string, error) {
			return digest(func(h hash.Hash) error {
				run, err := d.s.Run(ctx, q.Get("id"))
				putRun(h, &run)
				if errors.Is(err, punctual.ErrRunNotFound) {
					return nil
				}
				return err
			})
		})
		return own, err // nothing else is on the page
	}
	return common + own, err
}

func (d *dashboard) pulseOfRuns(ctx context.Context, h hash.Hash) error {
	runs, err := d.s.Runs(ctx, punctual.RunQuery{Limit: pulseRuns})
	if err != nil {
		return err
	}
	live, err := d.s.Runs(ctx, punctual.RunQuery{States: []punctual.State{punctual.StatePending, punctual.StateRunning}, Limit: pulseRuns})
	if err != nil {
		return err
	}
	for _, page := range [][]punctual.Run{runs, live} {
		for i := range page {
			putRun(h, &page[i])
		}
	}
	health := d.s.Health()
	fmt.Fprintln(h, health.OK, health.Phase, len(health.Reasons))
	return nil
}

func putRun(h hash.Hash, r *punctual.Run) {
	fmt.Fprintln(h, r.ID, r.State, r.Attempt, r.CancelRequested, r.Count, r.DueAt.UnixMicro())
}

func putTask(h hash.Hash, s *punctual.Snapshot) {
	last := ""
	if s.LastRun != nil {
		last = s.LastRun.ID + s.LastRun.State.String()
	}
	fmt.Fprintln(h, s.Revision, s.Paused, s.Active, s.Fault, s.NextRunAt.UnixMicro(), last)
}

func digest(put func(hash.Hash) error) (string, error) {
	h := sha256.New()
	err := put(h)
	return hex.EncodeToString(h.Sum(nil))[:16], err
}
