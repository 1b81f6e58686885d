package web

import (
	"bytes"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/punctual-go/punctual/executor/openai"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

func (s *server) forms() []route {
	return []route{
		{"GET /{$}", s.listPage},
		{"GET /tasks/new", s.newPage},
		{"POST /tasks", s.createForm},
		{"GET /tasks/{id}/edit", s.editPage},
		{"POST /tasks/{id}", s.editForm},
		{"GET /tasks/{id}/delete", s.deletePage},
		{"POST /tasks/{id}/delete", s.deleteForm},
		{"POST /tasks/{id}/run", s.runForm},
		{"GET /tasks/{id}/logs", s.logsPage},
		{"GET /logs/{id}", s.entryPage},
		{"GET /import", s.importPage},
		{"POST /import", s.importForm},
		{"/", func(w http.ResponseWriter, r *http.Request) {
			s.fail(w, r, http.StatusNotFound, "There is no such page.")
		}},
	}
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
	"at":    func(t time.Time) *time.Time { return &t },
	"shown": shown,
}

// shown is a text from outside as pages show it: control characters, such as escape sequences of terminals, and marks that turn the
// direction of writing round hide nothing.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r < ' ':
			return '\u2400' + r // its picture
		case unicode.IsControl(r), r >= '\u202A' && r <= '\u202E', r >= '\u2066' && r <= '\u2069', r == '\u200E', r == '\u200F', r == '\u061C':
			return utf8.RuneError
		}
		return r
	}, text)
}

func loadPages(language string) map[string]*template.Template {
	own := template.FuncMap{
		"t":        func(text string) string { return translate(language, text) },
		"schedule": func(t service.Task) string { return scheduleIn(language, t) },
	}
	pages := make(map[string]*template.Template)
	for _, name := range []string{"list", "form", "delete", "logs", "entry", "import", "login", "error"} {
		pages[name] = template.Must(template.New("layout.html").Funcs(functions).Funcs(own).ParseFS(files, "templates/layout.html", "templates/"+name+".html"))
	}
	return pages
}

// page renders a page as a whole before anything is sent, so that a fault in it does not leave half of it.
func (s *server) page(w http.ResponseWriter, r *http.Request, code int, name string, data map[string]any) {
	data["Demo"] = s.options.Demo
	language := languageOf(r)
	if faults, ok := data["Faults"].(map[string]string); ok {
		data["Faults"] = faultsIn(language, faults)
	}
	data["Lang"], data["Other"], data["Path"] = "en", chinese, "/"
	if language == chinese {
		data["Lang"], data["Other"] = "zh-CN", english
	}
	if r.Method == http.MethodGet { // what was posted cannot be gone back to
		data["Path"] = r.URL.RequestURI()
	}
	w.Header().Add("Vary", "Accept-Language, Cookie")
	var body bytes.Buffer
	if err := s.pages[language][name].Execute(&body, data); err != nil {
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
	Revision                                                    int64 // that the form was made from; zero in a new one
	IntervalMinutes, IntervalSeconds, FixedTime, Cron, Timezone string
	KeyMask                                                     string
	API, SystemPrompt                                           string
	More                                                        []numberInput
	Enabled, Stream                                             bool
}

// HasMore reports whether anything of the folded part of the form is set.
func (f form) HasMore() bool {
	for _, n := range f.More {
		if n.Value != "" {
			return true
		}
	}
	return f.SystemPrompt != "" || f.Stream || f.API == openai.APIResponses
}

// numberInput is a field of the form that holds a number or nothing.
type numberInput struct{ Name, Label, Value string }

// more are the fields of numbers in the folded part, with what a task has in them.
func more(s service.Settings) []numberInput {
	whole := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	decimal := func(n float64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	temperature := ""
	if s.Temperature != nil {
		temperature = strconv.FormatFloat(*s.Temperature, 'f', -1, 64)
	}
	return []numberInput{
		{"max_tokens", "Tokens of an answer, at most", whole(s.MaxTokens)},
		{"temperature", "Temperature", temperature},
		{"timeout_seconds", "Seconds of a call, at most", whole(s.TimeoutSeconds)},
		{"first_token_seconds", "Seconds that a stream may be silent", whole(s.FirstTokenSeconds)},
		{"daily_tokens", "Tokens of a day, at most", whole(s.DailyTokens)},
		{"daily_cost", "Cost of a day, at most", decimal(s.DailyCost)},
		{"prompt_price", "Price of a million prompt tokens", decimal(s.PromptPrice)},
		{"completion_price", "Price of a million completion tokens", decimal(s.CompletionPrice)},
	}
}

// readMore reads them back.
func readMore(in *service.Input, fields []numberInput, faults map[string]string) {
	wholes := map[string]**int64{
		"max_tokens": &in.MaxTokens, "timeout_seconds": &in.TimeoutSeconds, "first_token_seconds": &in.FirstTokenSeconds, "daily_tokens": &in.DailyTokens,
	}
	decimals := map[string]**float64{
		"temperature": &in.Temperature, "daily_cost": &in.DailyCost, "prompt_price": &in.PromptPrice, "completion_price": &in.CompletionPrice,
	}
	for _, f := range fields {
		if into, ok := wholes[f.Name]; ok {
			*into = numberField(f.Value, f.Name, faults)
		} else if f.Value != "" {
			n, err := strconv.ParseFloat(f.Value, 64)
			if err != nil {
				faults[f.Name] = "is not a number"
				continue
			}
			*decimals[f.Name] = &n
		}
	}
}

func (s *server) newPage(w http.ResponseWriter, r *http.Request) {
	f := form{More: more(service.Settings{}), ScheduleType: service.Interval, IntervalMinutes: "60", Timezone: "UTC", Enabled: true}
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
		ID: t.ID, Revision: t.Revision, Name: t.Name, APIEndpoint: t.APIEndpoint, Model: t.Model, MessageContent: t.MessageContent, ScheduleType: t.ScheduleType,
		IntervalMinutes: number(t.IntervalMinutes), IntervalSeconds: number(t.IntervalSeconds), FixedTime: t.FixedTime, Cron: t.Cron,
		Timezone: t.Timezone, KeyMask: t.APIKey, Enabled: t.Enabled, API: t.API, SystemPrompt: t.SystemPrompt, Stream: t.Stream, More: more(t.Settings),
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
		API: get("api"), SystemPrompt: get("system_prompt"), Stream: get("stream") != "", More: more(service.Settings{}),
	}
	for i := range f.More {
		f.More[i].Value = strings.TrimSpace(get(f.More[i].Name))
	}
	in := service.Input{
		Name: &f.Name, APIEndpoint: &f.APIEndpoint, Model: &f.Model, MessageContent: &f.MessageContent, ScheduleType: &f.ScheduleType,
		FixedTime: &f.FixedTime, Cron: &f.Cron, Timezone: &f.Timezone, Enabled: &f.Enabled,
		API: &f.API, SystemPrompt: &f.SystemPrompt, Stream: &f.Stream,
	}
	if key := get("api_key"); key != "" {
		in.APIKey = &key
	} else if get("remove_api_key") != "" {
		none := ""
		in.APIKey = &none
	}
	if n, err := strconv.ParseInt(get("revision"), 10, 64); err == nil {
		f.Revision, in.Revision = n, &n
	}
	faults := map[string]string{}
	readMore(&in, f.More, faults)
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

// entryPage shows one call: its whole answer, and what changed since the success before.
func (s *server) entryPage(w http.ResponseWriter, r *http.Request) {
	entry, output, err := s.service.Entry(r.Context(), r.PathValue("id"))
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	d, err := s.service.Diff(r.Context(), entry.ID)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	s.page(w, r, http.StatusOK, "entry", map[string]any{"Title": entry.TaskName, "Named": true, "Entry": entry, "Output": output, "Diff": d})
}

func (s *server) importPage(w http.ResponseWriter, r *http.Request) {
	s.page(w, r, http.StatusOK, "import", map[string]any{"Title": "Import and export"})
}

// importForm registers the tasks that were pasted. What was pasted is shown again when something is wrong with it.
func (s *server) importForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	file := r.PostFormValue("file")
	done, err := s.service.Import(r.Context(), []byte(file))
	if err != nil {
		code, message, fields := s.explain(r, err)
		s.page(w, r, code, "import", map[string]any{"Title": "Import and export", "Error": message, "Faults": fields, "File": file})
		return
	}
	s.page(w, r, http.StatusOK, "import", map[string]any{"Title": "Import and export", "Done": done})
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
	s.page(w, r, http.StatusOK, "logs", map[string]any{"Title": t.Name, "Named": true, "Task": t, "Logs": entries, "Next": next, "Live": r.URL.Query().Get("cursor") == ""})
}
