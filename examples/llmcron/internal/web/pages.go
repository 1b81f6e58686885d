package web

import (
	"bytes"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

func (s *server) forms(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.listPage)
	mux.HandleFunc("GET /tasks/new", s.newPage)
	mux.HandleFunc("POST /tasks", s.createForm)
	mux.HandleFunc("GET /tasks/{id}/edit", s.editPage)
	mux.HandleFunc("POST /tasks/{id}", s.editForm)
	mux.HandleFunc("GET /tasks/{id}/delete", s.deletePage)
	mux.HandleFunc("POST /tasks/{id}/delete", s.deleteForm)
	mux.HandleFunc("POST /tasks/{id}/run", s.runForm)
	mux.HandleFunc("GET /tasks/{id}/logs", s.logsPage)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, http.StatusNotFound, "There is no such page.")
	})
}

var functions = template.FuncMap{
	"when": func(t *time.Time, zone string) string {
		if t == nil {
			return "–"
		}
		loc, err := time.LoadLocation(zone)
		if err != nil {
			loc = time.UTC
		}
		return t.In(loc).Format("2006-01-02 15:04:05 MST")
	},
	"at": func(t time.Time) *time.Time { return &t },
}

func loadPages() map[string]*template.Template {
	pages := make(map[string]*template.Template)
	for _, name := range []string{"list", "form", "delete", "logs", "login", "error"} {
		pages[name] = template.Must(template.New("layout.html").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/"+name+".html"))
	}
	return pages
}

// page renders a page as a whole before anything is sent, so that a fault in it does not leave half of it.
func (s *server) page(w http.ResponseWriter, r *http.Request, code int, name string, data map[string]any) {
	data["Demo"] = s.options.Demo
	data["Login"] = s.options.Token != ""
	var body bytes.Buffer
	if err := s.pages[name].Execute(&body, data); err != nil {
		s.options.Logger.Error("page failed", "page", name, "error", err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = body.WriteTo(w) // the client may have gone
}

func (s *server) pageError(w http.ResponseWriter, r *http.Request, err error) {
	code, message, _ := s.explain(r, err)
	s.page(w, r, code, "error", map[string]any{"Title": http.StatusText(code), "Error": message})
}

func (s *server) listPage(w http.ResponseWriter, r *http.Request) {
	tasks, next, err := s.service.List(r.Context(), 100, r.URL.Query().Get("cursor"))
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	s.page(w, r, http.StatusOK, "list", map[string]any{"Title": "Tasks", "Tasks": tasks, "Next": next, "Live": true})
}

// form is what the new and edit pages show: what was typed, and what is wrong with it.
type form struct {
	ID, Name, APIEndpoint, Model, MessageContent, ScheduleType  string
	IntervalMinutes, IntervalSeconds, FixedTime, Cron, Timezone string
	KeyMask                                                     string
	Enabled                                                     bool
}

func (s *server) newPage(w http.ResponseWriter, r *http.Request) {
	f := form{ScheduleType: service.Interval, IntervalMinutes: "60", Timezone: "UTC", Enabled: true}
	if s.options.Demo != "" {
		f.APIEndpoint, f.Model = s.options.Demo, "demo"
	}
	s.showForm(w, r, http.StatusOK, f, nil, "")
}

func (s *server) editPage(w http.ResponseWriter, r *http.Request) {
	t, err := s.service.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	s.showForm(w, r, http.StatusOK, form{
		ID: t.ID, Name: t.Name, APIEndpoint: t.APIEndpoint, Model: t.Model, MessageContent: t.MessageContent, ScheduleType: t.ScheduleType,
		IntervalMinutes: number(t.IntervalMinutes), IntervalSeconds: number(t.IntervalSeconds), FixedTime: t.FixedTime, Cron: t.Cron,
		Timezone: t.Timezone, KeyMask: t.APIKey, Enabled: t.Enabled,
	}, nil, "")
}

func (s *server) showForm(w http.ResponseWriter, r *http.Request, code int, f form, faults map[string]string, message string) {
	title := "New task"
	if f.ID != "" {
		title = "Edit task"
	}
	s.page(w, r, code, "form", map[string]any{"Title": title, "Form": f, "Faults": faults, "Error": message})
}

// readForm reads a form into what the service takes, and into what is shown again when something is wrong with it. An empty key field
// keeps the key.
func readForm(w http.ResponseWriter, r *http.Request) (service.Input, form, map[string]string, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return service.Input{}, form{}, nil, &errBody{"the form is too large or not readable"}
	}
	get := func(name string) string { return r.PostForm.Get(name) }
	f := form{
		ID: r.PathValue("id"), Name: get("name"), APIEndpoint: get("api_endpoint"), Model: get("model"), MessageContent: get("message_content"),
		ScheduleType: get("schedule_type"), IntervalMinutes: get("interval_minutes"), IntervalSeconds: get("interval_seconds"),
		FixedTime: get("fixed_time"), Cron: get("cron"), Timezone: get("timezone"), Enabled: get("enabled") != "",
	}
	in := service.Input{
		Name: &f.Name, APIEndpoint: &f.APIEndpoint, Model: &f.Model, MessageContent: &f.MessageContent, ScheduleType: &f.ScheduleType,
		FixedTime: &f.FixedTime, Cron: &f.Cron, Timezone: &f.Timezone, Enabled: &f.Enabled,
	}
	if key := get("api_key"); key != "" {
		in.APIKey = &key
	} else if get("remove_api_key") != "" {
		none := ""
		in.APIKey = &none
	}
	faults := map[string]string{}
	if f.ScheduleType == service.Interval {
		in.IntervalMinutes = numberField(f.IntervalMinutes, "interval_minutes", faults)
		in.IntervalSeconds = numberField(f.IntervalSeconds, "interval_seconds", faults)
	}
	return in, f, faults, nil
}

func numberField(text, name string, faults map[string]string) *int64 {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		faults[name] = "is not a whole number"
		return nil
	}
	return &n
}

func (s *server) createForm(w http.ResponseWriter, r *http.Request) {
	s.submit(w, r, func(in service.Input) error {
		_, err := s.service.Create(r.Context(), in)
		return err
	})
}

func (s *server) editForm(w http.ResponseWriter, r *http.Request) {
	s.submit(w, r, func(in service.Input) error {
		_, err := s.service.Replace(r.Context(), r.PathValue("id"), in)
		return err
	})
}

// submit carries out a form. Whatever goes wrong, what was typed is shown again with what is wrong, so that nothing is lost.
func (s *server) submit(w http.ResponseWriter, r *http.Request, save func(service.Input) error) {
	in, f, faults, err := readForm(w, r)
	if err == nil && len(faults) > 0 {
		err = &service.Invalid{Fields: faults}
	}
	if err == nil {
		err = save(in)
	}
	if err != nil {
		code, message, fields := s.explain(r, err)
		s.showForm(w, r, code, f, fields, message)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *server) deletePage(w http.ResponseWriter, r *http.Request) {
	t, err := s.service.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	s.page(w, r, http.StatusOK, "delete", map[string]any{"Title": "Delete task", "Task": t})
}

func (s *server) deleteForm(w http.ResponseWriter, r *http.Request) {
	if err := s.service.Delete(r.Context(), r.PathValue("id")); err != nil {
		s.pageError(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *server) runForm(w http.ResponseWriter, r *http.Request) {
	if _, err := s.service.RunNow(r.Context(), r.PathValue("id")); err != nil {
		s.pageError(w, r, err)
		return
	}
	http.Redirect(w, r, "/tasks/"+r.PathValue("id")+"/logs", http.StatusSeeOther)
}

func (s *server) logsPage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	t, err := s.service.Get(r.Context(), id)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	entries, next, err := s.service.Logs(r.Context(), id, 50, r.URL.Query().Get("cursor"))
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	s.page(w, r, http.StatusOK, "logs", map[string]any{"Title": t.Name, "Task": t, "Logs": entries, "Next": next, "Live": r.URL.Query().Get("cursor") == ""})
}
