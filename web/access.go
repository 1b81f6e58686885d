package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/punctual-go/punctual"
)

// errReadOnly is why nothing is changed, as the audit is told.
var errReadOnly = errors.New("web: the dashboard is read-only")

// may asks for the access and answers the request itself when it is refused.
func (d *dashboard) may(w http.ResponseWriter, r *http.Request, access Access) (actor string, ok bool) {
	actor, err := d.ask(r, access)
	if err == nil {
		return actor, true
	}
	if access.Action != ActionView {
		d.report(r, AuditEvent{Actor: actor, Action: access.Action, TaskID: access.TaskID, RunID: access.RunID, Err: err})
	}
	switch {
	case errors.Is(err, errReadOnly):
		d.fail(w, r, problem{http.StatusForbidden, "This dashboard is read-only."})
	case !errors.Is(err, ErrUnauthenticated):
		d.fail(w, r, problem{http.StatusForbidden, "You are not allowed to do this."})
	case d.login != "" && !isAPI(r) && r.URL.Path != "/live":
		w.Header().Set("Location", d.login)
		w.WriteHeader(http.StatusSeeOther)
	default:
		if d.challenge != "" {
			w.Header().Set("WWW-Authenticate", d.challenge)
		}
		d.fail(w, r, problem{http.StatusUnauthorized, "You are not logged in."})
	}
	return actor, false
}

func (d *dashboard) ask(r *http.Request, access Access) (actor string, err error) {
	if d.authorize != nil {
		if actor, err = d.authorize(r, access); err != nil {
			return actor, err
		}
	}
	if d.readOnly && access.Action != ActionView {
		return actor, errReadOnly
	}
	return actor, nil
}

// allowed tells which actions a page offers.
func (d *dashboard) allowed(r *http.Request, taskID, runID string, actions ...Action) map[string]bool {
	can := make(map[string]bool) // by name: templates look up strings
	for _, a := range actions {
		_, err := d.ask(r, Access{a, taskID, runID})
		can[string(a)] = err == nil
	}
	return can
}

// report tells the audit.
func (d *dashboard) report(r *http.Request, e AuditEvent) {
	e.At, e.Remote = d.clock.Now(), r.RemoteAddr
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("actor", e.Actor), slog.String("action", string(e.Action)), slog.String("task_id", e.TaskID),
		slog.String("run_id", e.RunID), slog.String("remote", e.Remote),
	}
	if e.Detail != "" {
		attrs = append(attrs, slog.String("detail", e.Detail))
	}
	if e.Err != nil {
		level, attrs = slog.LevelWarn, append(attrs, slog.String("error", e.Err.Error()))
	}
	d.log(r.Context(), level, "dashboard action", attrs...)
	if d.audit != nil {
		d.audit(r.Context(), e)
	}
}

// log writes a record whose time comes from the handler's clock.
func (d *dashboard) log(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	if !d.logger.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(d.clock.Now(), level, msg, 0)
	record.AddAttrs(attrs...)
	_ = d.logger.Handler().Handle(ctx, record) // a log that cannot be written has nowhere to be reported
}

// problem is an answer that is an error, in words for people.
type problem struct {
	status int
	Text   string
}

// problemOf says in words what an error means. The text of errors that may name the insides of a store goes to the log only.
func (d *dashboard) problemOf(r *http.Request, err error) problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, punctual.ErrTaskNotFound):
		return problem{http.StatusNotFound, "There is no such task."}
	case errors.Is(err, punctual.ErrRunNotFound):
		return problem{http.StatusNotFound, "There is no such run."}
	case errors.Is(err, punctual.ErrConflict):
		return problem{http.StatusConflict, "Somebody else has changed the task meanwhile. Load the page again and repeat what you wanted."}
	case errors.Is(err, punctual.ErrRunFinished):
		return problem{http.StatusConflict, "The run has ended already."}
	case errors.Is(err, punctual.ErrInvalidTask), errors.Is(err, punctual.ErrInvalidSchedule):
		return problem{http.StatusUnprocessableEntity, plain(err)}
	case errors.Is(err, punctual.ErrInvalidQuery), errors.Is(err, errBadRequest):
		return problem{http.StatusBadRequest, plain(err)}
	case errors.As(err, &tooLarge):
		return problem{http.StatusRequestEntityTooLarge, "The request is too large."}
	case errors.Is(err, punctual.ErrClosed):
		return problem{http.StatusServiceUnavailable, "The scheduler has been shut down."}
	}
	if r.Context().Err() == nil {
		d.log(r.Context(), slog.LevelError, "dashboard request failed", slog.String("path", r.URL.Path), slog.String("error", err.Error()))
	}
	if errors.Is(err, punctual.ErrUnavailable) {
		return problem{http.StatusServiceUnavailable, "The store cannot be reached for the moment."}
	}
	return problem{http.StatusInternalServerError, "Something went wrong; the log of the server says what."}
}

// errBadRequest is what is wrong with a request itself.
var errBadRequest = errors.New("web: bad request")

// plain is an error for people: without the names of packages.
func plain(err error) string {
	return strings.NewReplacer("punctual: ", "", "web: ", "").Replace(err.Error())
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// fail answers with a problem in the form that the client reads.
func (d *dashboard) fail(w http.ResponseWriter, r *http.Request, p problem) {
	if isAPI(r) || r.URL.Path == "/live" {
		writeJSON(w, p.status, apiError{p.Text})
		return
	}
	d.page(w, r, p.status, "error", pageData{Title: http.StatusText(p.status), Content: p})
}

// failure is fail for an error.
func (d *dashboard) failure(w http.ResponseWriter, r *http.Request, err error) {
	d.fail(w, r, d.problemOf(r, err))
}

// refuse answers who is not on this machine. The page would need assets that are refused too.
func (d *dashboard) refuse(w http.ResponseWriter, r *http.Request) {
	const text = "This dashboard has no authorizer and answers only on loopback addresses."
	if isAPI(r) {
		writeJSON(w, http.StatusForbidden, apiError{text})
		return
	}
	http.Error(w, text, http.StatusForbidden)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error": "The answer cannot be written as JSON."}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone has nobody to be told
}
