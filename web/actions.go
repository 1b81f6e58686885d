package web

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/punctual-go/punctual"
)

// command is one change that somebody asked for.
type command struct {
	Action   Action
	TaskID   string
	RunID    string
	Schedule string // the new one
	Revision int64  // that the new schedule is based on; zero for any
}

// carryOut asks for the access, does what was asked for, and tells the audit. When it is refused, the request is answered already and ok is false.
func (d *dashboard) carryOut(w http.ResponseWriter, r *http.Request, c command) (run punctual.Run, ok bool, err error) {
	var found error
	if c.RunID != "" {
		var of punctual.Run
		of, found = d.s.Run(r.Context(), c.RunID)
		c.TaskID = of.TaskID
	}
	actor, ok := d.may(w, r, Access{c.Action, c.TaskID, c.RunID})
	if !ok {
		return run, false, nil
	}
	e := AuditEvent{Actor: actor, Action: c.Action, TaskID: c.TaskID, RunID: c.RunID, Detail: clip(c.Schedule, maxSpec)}
	err = found
	if err == nil {
		run, err = d.do(r.Context(), c)
	}
	if run.ID != "" && c.RunID == "" {
		e.RunID = run.ID
	}
	e.Err = err
	d.report(r, e)
	d.surveys.expire()
	d.histories.expire()
	d.calendars.expire()
	d.pulses.expire()
	return run, true, err
}

func (d *dashboard) do(ctx context.Context, c command) (punctual.Run, error) {
	switch c.Action {
	case ActionPause:
		return punctual.Run{}, d.s.Pause(ctx, c.TaskID)
	case ActionResume:
		return punctual.Run{}, d.s.Resume(ctx, c.TaskID)
	case ActionRun:
		return d.s.RunNow(ctx, c.TaskID)
	case ActionCancel:
		return punctual.Run{}, d.s.Cancel(ctx, c.RunID)
	case ActionRetry:
		return d.s.RunNow(ctx, c.TaskID)
	case ActionReschedule:
		return punctual.Run{}, d.reschedule(ctx, c)
	default:
		return punctual.Run{}, fmt.Errorf("%w: there is no action %q", errBadRequest, readable(clip(string(c.Action), 64)))
	}
}

func (d *dashboard) reschedule(ctx context.Context, c command) error {
	spec := strings.TrimSpace(c.Schedule)
	if len(spec) > maxSpec {
		return fmt.Errorf("%w: the text is longer than %d bytes", punctual.ErrInvalidSchedule, maxSpec)
	}
	schedule, err := punctual.ParseSchedule(spec)
	if err != nil {
		return err
	}
	s, err := d.s.Task(ctx, c.TaskID)
	if err != nil {
		return err
	}
	task := s.Task
	task.Schedule = schedule
	if c.Revision != 0 {
		task.Revision = c.Revision
	}
	return d.s.Reschedule(ctx, task)
}

// taskActions and runActions are what forms and API offer.
var (
	taskActions = []Action{ActionPause, ActionResume, ActionRun, ActionReschedule}
	runActions  = []Action{ActionCancel, ActionRetry}
)

// form reads a posted form; when it cannot be read, the request is answered already.
func (d *dashboard) form(w http.ResponseWriter, r *http.Request) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		d.fail(w, r, problem{http.StatusUnsupportedMediaType, "A form was expected."})
		return false
	}
	if err := r.ParseForm(); err != nil {
		p := d.problemOf(r, err)
		if p.status == http.StatusInternalServerError {
			p = problem{http.StatusBadRequest, "The form cannot be read."}
		}
		d.fail(w, r, p)
		return false
	}
	return true
}

func (d *dashboard) taskForm(w http.ResponseWriter, r *http.Request) {
	// Who may not even look need not be heard: a body is read of others only.
	if _, ok := d.may(w, r, Access{Action: ActionView, TaskID: r.URL.Query().Get("id")}); !ok || !d.form(w, r) {
		return
	}
	c := command{Action: Action(r.PostForm.Get("action")), TaskID: r.PostForm.Get("id"), Schedule: r.PostForm.Get("schedule")}
	if c.Action != ActionReschedule {
		c.Schedule = ""
	}
	if _, err := fmt.Sscan(r.PostForm.Get("revision"), &c.Revision); err != nil && c.Action == ActionReschedule {
		d.fail(w, r, problem{http.StatusBadRequest, "The form lacks the revision that it is based on."})
		return
	}
	if !slices.Contains(taskActions, c.Action) {
		d.fail(w, r, problem{http.StatusBadRequest, "There is no such action."})
		return
	}
	run, ok, err := d.carryOut(w, r, c)
	if !ok {
		return
	}
	p := problem{}
	if err != nil {
		p = d.problemOf(r, err)
	}
	switch {
	case p.status == http.StatusUnprocessableEntity:
		d.showTask(w, r, p.status, c.Schedule, p.Text)
	case err != nil:
		d.fail(w, r, p)
	case run.ID != "":
		seeOther(w, link("run", "id", run.ID, "done", string(c.Action)))
	default:
		seeOther(w, link("task", "id", c.TaskID, "done", string(c.Action)))
	}
}

func (d *dashboard) runForm(w http.ResponseWriter, r *http.Request) {
	if _, ok := d.may(w, r, Access{Action: ActionView, RunID: r.URL.Query().Get("id")}); !ok || !d.form(w, r) {
		return
	}
	c := command{Action: Action(r.PostForm.Get("action")), RunID: r.PostForm.Get("id")}
	if !slices.Contains(runActions, c.Action) {
		d.fail(w, r, problem{http.StatusBadRequest, "There is no such action."})
		return
	}
	run, ok, err := d.carryOut(w, r, c)
	switch {
	case !ok:
	case err != nil:
		d.failure(w, r, err)
	case run.ID != "":
		seeOther(w, link("run", "id", run.ID, "done", string(c.Action)))
	default:
		seeOther(w, link("run", "id", c.RunID, "done", string(c.Action)))
	}
}

// seeOther redirects to a relative address. http.Redirect would make it absolute by a path from which the prefix was stripped.
func seeOther(w http.ResponseWriter, address string) {
	w.Header().Set("Location", address)
	w.WriteHeader(http.StatusSeeOther)
}
