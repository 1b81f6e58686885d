package web

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/punctual-go/punctual"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

// maxBody bounds the body of a request.
const maxBody = 1 << 20

func (s *server) api() []route {
	all := []route{
		{"POST /api/tasks", s.createTask},
		{"GET /api/tasks", s.listTasks},
		{"GET /api/tasks/{id}", s.getTask},
		{"PUT /api/tasks/{id}", s.putTask},
		{"PATCH /api/tasks/{id}", s.patchTask},
		{"DELETE /api/tasks/{id}", s.deleteTask},
		{"POST /api/tasks/{id}/run", s.runTask},
		{"GET /api/tasks/{id}/logs", s.taskLogs},
		{"GET /api/logs", s.allLogs},
		{"GET /api/logs/{id}/diff", s.diff},
		{"GET /api/export", s.export},
		{"POST /api/import", s.importTasks},
		{"/api/", func(w http.ResponseWriter, r *http.Request) {
			s.fail(w, r, http.StatusNotFound, "there is nothing here")
		}},
	}
	if s.options.Metrics != nil {
		all = append(all, route{"GET /metrics", s.options.Metrics.ServeHTTP})
	}
	return all
}

// health answers everybody with one word, since monitors have no token; what is the matter is for who has it.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	h := s.service.Health()
	code := http.StatusOK
	if !h.OK {
		code = http.StatusServiceUnavailable
	}
	if s.options.Token != "" && !s.loggedIn(r) {
		writeJSON(w, code, map[string]bool{"ok": h.OK})
		return
	}
	writeJSON(w, code, h)
}

// errBody is a body that is not what the API reads; it is answered with 400.
type errBody struct{ reason string }

func (e *errBody) Error() string { return e.reason }

// readInput decodes a body strictly. Errors do not echo values, since one may be a key.
func readInput(w http.ResponseWriter, r *http.Request) (service.Input, error) {
	var in service.Input
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&in)
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return in, &errBody{"the body is larger than 1 MiB"}
	case errors.As(err, &wrongType):
		return in, &errBody{"field " + wrongType.Field + " must be a " + wrongType.Type.String()}
	case err != nil && strings.Contains(err.Error(), "unknown field"):
		return in, &errBody{strings.TrimPrefix(err.Error(), "json: ")}
	case err != nil:
		return in, &errBody{"the body is not a JSON object"}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return in, &errBody{"behind the JSON object stands something else"}
	}
	return in, nil
}

func (s *server) createTask(w http.ResponseWriter, r *http.Request) {
	in, err := readInput(w, r)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	task, err := s.service.Create(r.Context(), in)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	w.Header().Set("Location", "/api/tasks/"+task.ID)
	writeJSON(w, http.StatusCreated, task)
}

func (s *server) getTask(w http.ResponseWriter, r *http.Request) {
	task, err := s.service.Get(r.Context(), r.PathValue("id"))
	s.answer(w, r, task, err)
}

func (s *server) putTask(w http.ResponseWriter, r *http.Request) {
	in, err := readInput(w, r)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	task, err := s.service.Replace(r.Context(), r.PathValue("id"), in)
	s.answer(w, r, task, err)
}

func (s *server) patchTask(w http.ResponseWriter, r *http.Request) {
	in, err := readInput(w, r)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	task, err := s.service.Patch(r.Context(), r.PathValue("id"), in)
	s.answer(w, r, task, err)
}

func (s *server) deleteTask(w http.ResponseWriter, r *http.Request) {
	if err := s.service.Delete(r.Context(), r.PathValue("id")); err != nil {
		s.apiError(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) runTask(w http.ResponseWriter, r *http.Request) {
	entry, err := s.service.RunNow(r.Context(), r.PathValue("id"))
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	writeJSON(w, http.StatusAccepted, entry)
}

func (s *server) listTasks(w http.ResponseWriter, r *http.Request) {
	limit, err := limitOf(r)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	tasks, next, err := s.service.List(r.Context(), limit, r.URL.Query().Get("cursor"))
	s.answer(w, r, map[string]any{"tasks": tasks, "next_cursor": next}, err)
}

func (s *server) taskLogs(w http.ResponseWriter, r *http.Request) { s.logs(w, r, r.PathValue("id")) }
func (s *server) allLogs(w http.ResponseWriter, r *http.Request)  { s.logs(w, r, "") }

func (s *server) logs(w http.ResponseWriter, r *http.Request, taskID string) {
	limit, err := limitOf(r)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	entries, next, err := s.service.Logs(r.Context(), taskID, limit, r.URL.Query().Get("cursor"))
	s.answer(w, r, map[string]any{"logs": entries, "next_cursor": next}, err)
}

// diff answers with what changed since the success before.
func (s *server) diff(w http.ResponseWriter, r *http.Request) {
	d, err := s.service.Diff(r.Context(), r.PathValue("id"))
	s.answer(w, r, d, err)
}

// export answers with all tasks as YAML.
func (s *server) export(w http.ResponseWriter, r *http.Request) {
	file, err := s.service.Export(r.Context())
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="llmcron.yaml"`)
	_, _ = w.Write(file) // the client may have gone
}

// importTasks registers the tasks of a YAML body.
func (s *server) importTasks(w http.ResponseWriter, r *http.Request) {
	file, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.apiError(w, r, &errBody{"the body is larger than 1 MiB or was cut off"})
		return
	}
	done, err := s.service.Import(r.Context(), file)
	s.answer(w, r, done, err)
}

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, &errBody{"limit must be a positive number"}
	}
	return n, nil
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, body any, err error) {
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// apiError maps an error to a status and a body.
func (s *server) apiError(w http.ResponseWriter, r *http.Request, err error) {
	code, message, fields := s.explain(r, err)
	body := map[string]any{"error": message}
	if fields != nil {
		body["fields"] = fields
	}
	writeJSON(w, code, body)
}

// explain says what an error means to a client: for API and pages alike.
func (s *server) explain(r *http.Request, err error) (code int, message string, fields map[string]string) {
	var invalid *service.Invalid
	var body *errBody
	switch {
	case errors.As(err, &body):
		return http.StatusBadRequest, body.reason, nil
	case errors.As(err, &invalid):
		return http.StatusUnprocessableEntity, "the task is not valid", invalid.Fields
	case errors.Is(err, service.ErrNotYAML):
		return http.StatusBadRequest, err.Error(), nil
	case errors.Is(err, punctual.ErrTaskNotFound):
		return http.StatusNotFound, "there is no such task", nil
	case errors.Is(err, punctual.ErrRunNotFound):
		return http.StatusNotFound, "there is no such log entry", nil
	case errors.Is(err, punctual.ErrConflict), errors.Is(err, punctual.ErrTaskExists):
		return http.StatusConflict, "the task was changed by somebody else meanwhile; load it again", nil
	case errors.Is(err, punctual.ErrClosed), errors.Is(err, punctual.ErrUnavailable):
		s.options.Logger.Warn("request failed", slog.String("path", r.URL.Path), slog.String("error", err.Error()))
		return http.StatusServiceUnavailable, "the server cannot do this right now; try again", nil
	}
	s.options.Logger.Error("request failed", slog.String("path", r.URL.Path), slog.String("error", err.Error()))
	return http.StatusInternalServerError, "something went wrong; the server's log says what", nil
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}
