package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/punctual-go/punctual"
)

// endpoint is one operation of the API; openapi.json describes each.
type endpoint struct {
	method, path string
	serve        http.HandlerFunc
}

func (d *dashboard) endpoints() []endpoint {
	return []endpoint{
		{"GET", "api/openapi.json", d.apiDocument},
		{"GET", "api/overview", d.apiOverview},
		{"GET", "api/tasks", d.apiTasks},
		{"GET", "api/task", d.apiTask},
		{"GET", "api/preview", d.apiPreview},
		{"GET", "api/runs", d.apiRuns},
		{"GET", "api/run", d.apiRun},
		{"GET", "api/instances", d.apiInstances},
		{"GET", "api/health", d.apiHealth},
		{"POST", "api/task/pause", d.apiTaskAction(ActionPause)},
		{"POST", "api/task/resume", d.apiTaskAction(ActionResume)},
		{"POST", "api/task/run", d.apiTaskAction(ActionRun)},
		{"POST", "api/task/reschedule", d.apiTaskAction(ActionReschedule)},
		{"POST", "api/run/cancel", d.apiRunAction(ActionCancel)},
		{"POST", "api/run/retry", d.apiRunAction(ActionRetry)},
	}
}

type apiError struct {
	Error string `json:"error"`
}

// apiTask is a Snapshot in JSON.
type apiTask struct {
	Task      punctual.Task `json:"task"`
	State     standing      `json:"state"`
	Words     string        `json:"words"`
	Zone      string        `json:"zone"`
	NextRunAt time.Time     `json:"next_run_at,omitzero"`
	Next      []time.Time   `json:"next"`
	LastRun   *punctual.Run `json:"last_run"`
	Active    int           `json:"active"`
	Paused    bool          `json:"paused"`
	Fault     string        `json:"fault,omitempty"`
	Revision  int64         `json:"revision"`
	CreatedAt time.Time     `json:"created_at"`
	UpdatedAt time.Time     `json:"updated_at"`
}

func (d *dashboard) apiTaskOf(s *punctual.Snapshot) apiTask {
	now := d.clock.Now()
	return apiTask{
		Task: d.shown(s.Task), State: standingOf(s, now), Words: punctual.Explain(s.Task.Schedule), Zone: zoneOf(s.Task.Schedule, now).String(),
		NextRunAt: s.NextRunAt, Next: append([]time.Time{}, s.Upcoming(nextShown)...), LastRun: s.LastRun, Active: s.Active, Paused: s.Paused,
		Fault: s.Fault, Revision: s.Revision, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}

// apiBrief is a task in a list.
type apiBrief struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Kind      string            `json:"kind,omitempty"`
	Schedule  string            `json:"schedule"`
	Labels    map[string]string `json:"labels,omitempty"`
	State     standing          `json:"state"`
	NextRunAt time.Time         `json:"next_run_at,omitzero"`
	Active    int               `json:"active"`
	LastRun   string            `json:"last_run,omitempty"`
	LastState string            `json:"last_state,omitempty"`
	LastAt    time.Time         `json:"last_at,omitzero"`
}

type apiTaskPage struct {
	Tasks []apiBrief `json:"tasks"`
	After string     `json:"after,omitempty"` // cursor of the next page
	Page  int        `json:"page,omitempty"`  // number of the next page
	Cut   bool       `json:"cut"`             // more tasks exist than were looked at
}

type apiRunPage struct {
	Runs   []punctual.Run `json:"runs"`
	Before string         `json:"before,omitempty"` // cursor of the next page
}

type apiInstancePage struct {
	Instances []punctual.Instance `json:"instances"`
}

// apiDone answers an action; Run is the run that it made.
type apiDone struct {
	Run *punctual.Run `json:"run,omitempty"`
}

// answer asks for ActionView and writes what find returns.
func (d *dashboard) answer(w http.ResponseWriter, r *http.Request, access Access, find func() (any, error)) {
	access.Action = ActionView
	if _, ok := d.may(w, r, access); !ok {
		return
	}
	found, err := find()
	if err != nil {
		d.failure(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, found)
}

func (d *dashboard) apiDocument(w http.ResponseWriter, r *http.Request) {
	d.answer(w, r, Access{}, func() (any, error) {
		b, err := files.ReadFile("openapi.json")
		return json.RawMessage(b), err
	})
}

func (d *dashboard) apiOverview(w http.ResponseWriter, r *http.Request) {
	d.answer(w, r, Access{}, func() (any, error) {
		window, err := windowOf(r.URL.Query().Get("window"))
		if err != nil {
			return nil, err
		}
		return d.overview(r.Context(), window)
	})
}

func (d *dashboard) apiTasks(w http.ResponseWriter, r *http.Request) {
	d.answer(w, r, Access{}, func() (any, error) {
		q, err := taskListOf(r.URL.Query(), punctual.DefaultLimit)
		if err != nil {
			return nil, err
		}
		page, err := d.tasks(r.Context(), q)
		answer := apiTaskPage{Tasks: []apiBrief{}, After: page.After, Page: page.Next, Cut: page.Cut}
		for _, b := range page.Tasks {
			state := ""
			if b.LastRun != "" {
				state = b.LastState.String()
			}
			answer.Tasks = append(answer.Tasks, apiBrief{
				b.ID, b.Name, b.Kind, b.Schedule, b.Labels, b.Standing, b.NextRunAt, b.Active, b.LastRun, state, b.LastAt,
			})
		}
		return answer, err
	})
}

func (d *dashboard) apiTask(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	d.answer(w, r, Access{TaskID: id}, func() (any, error) {
		s, err := d.s.Task(r.Context(), id)
		if err != nil {
			return nil, err
		}
		return d.apiTaskOf(&s), nil
	})
}

func (d *dashboard) apiPreview(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	d.answer(w, r, Access{TaskID: q.Get("id")}, func() (any, error) {
		n, err := intOf(q, "n", nextShown, 1, 100)
		if err != nil {
			return nil, err
		}
		return d.preview(q.Get("schedule"), q.Get("id"), n)
	})
}

func (d *dashboard) apiRuns(w http.ResponseWriter, r *http.Request) {
	q, err := runQueryOf(r.URL.Query(), punctual.DefaultLimit)
	d.answer(w, r, Access{TaskID: q.TaskID}, func() (any, error) {
		if err != nil {
			return nil, err
		}
		runs, before, err := d.runs(r, q)
		return apiRunPage{append([]punctual.Run{}, runs...), before}, err
	})
}

func (d *dashboard) apiRun(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	run, err := d.s.Run(r.Context(), id)
	d.answer(w, r, Access{TaskID: run.TaskID, RunID: id}, func() (any, error) { return run, err })
}

func (d *dashboard) apiInstances(w http.ResponseWriter, r *http.Request) {
	d.answer(w, r, Access{}, func() (any, error) {
		found, err := d.s.Instances(r.Context())
		return apiInstancePage{append([]punctual.Instance{}, found...)}, err
	})
}

func (d *dashboard) apiHealth(w http.ResponseWriter, r *http.Request) {
	d.answer(w, r, Access{}, func() (any, error) { return d.s.Health(), nil })
}

func (d *dashboard) apiTaskAction(a Action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := command{Action: a, TaskID: r.URL.Query().Get("id")}
		if a == ActionReschedule {
			// Who may not do it need not be heard: a body is read of others only.
			if _, ok := d.may(w, r, Access{Action: a, TaskID: c.TaskID}); !ok {
				return
			}
			var body struct {
				Schedule string `json:"schedule"`
				Revision int64  `json:"revision"`
			}
			if err := readJSON(r, &body); err != nil {
				d.failure(w, r, err)
				return
			}
			c.Schedule, c.Revision = body.Schedule, body.Revision
		}
		d.apiCommand(w, r, c)
	}
}

func (d *dashboard) apiRunAction(a Action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d.apiCommand(w, r, command{Action: a, RunID: r.URL.Query().Get("id")})
	}
}

func (d *dashboard) apiCommand(w http.ResponseWriter, r *http.Request, c command) {
	run, ok, err := d.carryOut(w, r, c)
	if !ok {
		return
	}
	if err != nil {
		d.failure(w, r, err)
		return
	}
	done := apiDone{}
	if run.ID != "" {
		run.Payload, run.Labels = nil, nil
		done.Run = &run
	}
	writeJSON(w, http.StatusOK, done)
}

// readJSON reads the only JSON value of a request's body; fields that are not known are refused.
func readJSON(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("%w: a body of type application/json was expected", errBadRequest)
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			return fmt.Errorf("%w: more follows the JSON value", errBadRequest)
		}
		return nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return fmt.Errorf("%w: the body is not the JSON that was expected", errBadRequest)
}
