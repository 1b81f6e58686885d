package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// pageData is what the layout shows; Content is the page's own.
type pageData struct {
	Title   string
	Page    string // the entry of the navigation that is current
	Live    string // what to watch: the address of this page; empty for none
	Actor   string
	Notice  string
	Seen    string // the pulse before the page was made: what happens meanwhile is a change
	Content any

	// Set by page.
	Product string
	Version string
	Status  int
}

// notices are what a page says after a form was sent. They are named in the query, so that nobody can make a page say something else.
var notices = map[string]string{
	"pause": "The task is paused.", "resume": "The task runs on its schedule again.", "run": "A run was asked for.",
	"reschedule": "The schedule is saved.", "cancel": "The run was ordered to be cancelled.", "retry": "A new run was asked for.",
}

func loadPages(d *dashboard) map[string]*template.Template {
	funcs := template.FuncMap{
		"clean": readable, "cleanText": readableText, "at": stamp, "atZone": stampZone, "took": duration, "secs": seconds, "num": number,
		"asset":   func(name string) string { return "assets/" + name + "?v=" + d.version },
		"link":    link,
		"badge":   badge,
		"sorted":  sortedAs,
		"clipped": func(s string) string { return clip(s, 300) },
		"labels":  sortedLabels,
		"kinds":   kindsText,
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"state":   func(s fmt.Stringer) template.HTML { return badge(s.String()) },
		"stand":   func(s standing) template.HTML { return badge(string(s)) },
	}
	pages := make(map[string]*template.Template)
	for _, name := range []string{"overview", "tasks", "task", "run", "timeline", "instances", "error"} {
		pages[name] = template.Must(template.New("layout.html").Funcs(funcs).ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return pages
}

// kindsText names the kinds that an instance claims.
func kindsText(kinds []string) string {
	switch {
	case kinds == nil:
		return "all"
	case len(kinds) == 0:
		return "none"
	}
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = cmp.Or(readable(kind), `""`)
	}
	return strings.Join(words, ", ")
}

// badge is a state as a dot and a word.
func badge(word string) template.HTML {
	class := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, word)
	return template.HTML(`<span class="state s-` + class + `">` + template.HTMLEscapeString(readable(word)) + `</span>`)
}

// link makes a relative address out of a page and pairs of a parameter and its value; empty values are left out.
func link(page string, pairs ...any) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case []string:
			for _, one := range v {
				q.Add(fmt.Sprint(pairs[i]), one)
			}
		default:
			if text := fmt.Sprint(v); text != "" {
				q.Set(fmt.Sprint(pairs[i]), text)
			}
		}
	}
	if page == "" {
		page = "./"
	}
	if len(q) > 0 {
		page += "?" + q.Encode()
	}
	return page
}

// sortedAs is the aria-sort of a column.
func sortedAs(sort, column string) string {
	switch sort {
	case column:
		return "ascending"
	case "-" + column:
		return "descending"
	default:
		return ""
	}
}

func sortedLabels(m map[string]string) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, key+"="+m[key])
	}
	return all
}

// page writes a page. It is made in memory first, so that an error does not end as half a page.
func (d *dashboard) page(w http.ResponseWriter, r *http.Request, status int, name string, data pageData) {
	data.Product, data.Version, data.Status = d.title, d.version, status
	if notice := notices[r.URL.Query().Get("done")]; data.Notice == "" && status == http.StatusOK {
		data.Notice = notice
	}
	var b bytes.Buffer
	if err := d.pages[name].Execute(&b, data); err != nil {
		d.problemOf(r, err)
		http.Error(w, "The page cannot be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a client that is gone has nobody to be told
}

// view asks for ActionView and answers with the page that make returns.
func (d *dashboard) view(w http.ResponseWriter, r *http.Request, access Access, name string, make func() (pageData, error)) {
	access.Action = ActionView
	actor, ok := d.may(w, r, access)
	if !ok {
		return
	}
	seen, _ := d.pulse(r.Context(), name, r.URL.Query()) // a page without it is only told of what happens later
	data, err := make()
	if err != nil {
		d.failure(w, r, err)
		return
	}
	data.Actor, data.Seen = actor, seen
	d.page(w, r, http.StatusOK, name, data)
}

func (d *dashboard) overviewPage(w http.ResponseWriter, r *http.Request) {
	d.view(w, r, Access{}, "overview", func() (pageData, error) {
		window, err := windowOf(r.URL.Query().Get("window"))
		if err != nil {
			return pageData{}, err
		}
		o, err := d.overview(r.Context(), window)
		if err != nil {
			return pageData{}, err
		}
		next, _ := o.survey.upcoming(o.At.Add(1000*time.Hour), 6)
		return pageData{Title: "Overview", Page: "overview", Live: "overview", Content: map[string]any{
			"O": o, "Window": window, "Windows": windows, "Chart": outcomeChart(o), "Late": latenessChart(o),
			"Running": o.history.in(6, punctual.StateRunning), "Latest": o.history.in(8), "Next": next,
			"Attention": o.survey.in(6, setAside, late, failing),
		}}, nil
	})
}

func (d *dashboard) tasksPage(w http.ResponseWriter, r *http.Request) {
	d.view(w, r, Access{}, "tasks", func() (pageData, error) {
		q, err := taskListOf(r.URL.Query(), 50)
		if err != nil {
			return pageData{}, err
		}
		page, err := d.tasks(r.Context(), q)
		if err != nil {
			return pageData{}, err
		}
		// The order of the columns' links: a click on the current one turns it round.
		sorts := make(map[string]string)
		for _, s := range []string{"id", "name", "next", "last"} {
			sorts[s] = s
			if q.Sort == s {
				sorts[s] = "-" + s
			}
		}
		return pageData{Title: "Tasks", Page: "tasks", Live: "tasks", Content: map[string]any{
			"Q": q, "P": page, "Standings": standings, "Sorts": sorts, "First": q.After == "" && q.Page <= 1,
		}}, nil
	})
}

// taskListOf reads what a page of tasks is asked for.
func taskListOf(v url.Values, limit int) (taskList, error) {
	q := taskList{
		Search: v.Get("q"), Kind: v.Get("kind"), Standing: standing(v.Get("state")), Sort: cmp.Or(v.Get("sort"), "id"), Limit: limit,
		After: v.Get("after"), Page: 1,
	}
	for _, l := range v["label"] {
		if l = strings.TrimSpace(l); l == "" {
			continue
		}
		if !strings.Contains(l, "=") {
			return q, fmt.Errorf("%w: a label is asked for as key=value", errBadRequest)
		}
		q.Labels = append(q.Labels, l)
	}
	if _, ok := taskOrders[strings.TrimPrefix(q.Sort, "-")]; !ok {
		return q, fmt.Errorf("%w: tasks are sorted by id, name, next or last", errBadRequest)
	}
	if q.Standing != "" && !slices.Contains(standings, q.Standing) {
		return q, fmt.Errorf("%w: no task has the state %q", errBadRequest, readable(clip(string(q.Standing), 64)))
	}
	var err error
	if q.Limit, err = intOf(v, "limit", limit, 1, punctual.MaxLimit-1); err != nil {
		return q, err
	}
	q.Page, err = intOf(v, "page", 1, 1, MaxSurvey)
	return q, err
}

func intOf(v url.Values, name string, byDefault, least, most int) (int, error) {
	text := v.Get(name)
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%w: %s must be a number from %d to %d", errBadRequest, name, least, most)
	}
	return n, nil
}

func (d *dashboard) taskPage(w http.ResponseWriter, r *http.Request) {
	d.showTask(w, r, http.StatusOK, r.URL.Query().Get("schedule"), "")
}

// showTask shows a task, with a schedule under edit and what was wrong with it.
func (d *dashboard) showTask(w http.ResponseWriter, r *http.Request, status int, spec, complaint string) {
	id := r.FormValue("id")
	actor, ok := d.may(w, r, Access{Action: ActionView, TaskID: id})
	if !ok {
		return
	}
	seen, _ := d.pulse(r.Context(), "task", r.Form) // a page without it is only told of what happens later
	s, err := d.s.Task(r.Context(), id)
	if err != nil {
		d.failure(w, r, err)
		return
	}
	now := d.clock.Now()
	zone := zoneOf(s.Task.Schedule, now)
	c, err := d.calendar(r.Context(), id, zone)
	if err != nil {
		d.failure(w, r, err)
		return
	}
	q, err := runQueryOf(r.URL.Query(), 20)
	if err != nil {
		d.failure(w, r, err)
		return
	}
	q.TaskID = id
	runs, before, err := d.runs(r, q)
	if err != nil {
		d.failure(w, r, err)
		return
	}
	content := map[string]any{
		"S": s, "B": briefOf(&s, now), "Zone": zone.String(), "Words": punctual.Explain(s.Task.Schedule), "Next": s.Upcoming(nextShown),
		"Runs": runs, "Before": before, "First": q.Before == "", "States": allStates, "Filter": r.URL.Query().Get("state"),
		"Calendar": heatMap(c, zone), "Durations": durationChart(c), "C": c, "Definition": d.definition(s.Task),
		"Can":  d.allowed(r, id, "", ActionPause, ActionResume, ActionRun, ActionReschedule),
		"Spec": cmp.Or(spec, scheduleText(s.Task.Schedule)), "Complaint": complaint, "Editing": spec != "",
	}
	if spec != "" && complaint == "" {
		p, err := d.preview(spec, id, nextShown)
		if err != nil {
			content["Complaint"] = plain(err)
		} else {
			content["Preview"] = p
		}
	}
	d.page(w, r, status, "task", pageData{
		Title: cmp.Or(s.Task.Name, s.Task.ID), Page: "tasks", Live: "task", Actor: actor, Seen: seen, Content: content,
	})
}

func scheduleText(s punctual.Schedule) string {
	if s == nil {
		return ""
	}
	return s.String()
}

// definition is a task as JSON for people, its payload as far as it may be shown.
func (d *dashboard) definition(t punctual.Task) string {
	b, err := json.MarshalIndent(d.shown(t), "", "  ")
	if err != nil {
		return plain(err)
	}
	var unescaped bytes.Buffer // the page escapes for itself
	encoder := json.NewEncoder(&unescaped)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if encoder.Encode(json.RawMessage(b)) == nil {
		return strings.TrimSpace(unescaped.String())
	}
	return string(b)
}

// shown is a task with its payload as far as it may be shown.
func (d *dashboard) shown(t punctual.Task) punctual.Task {
	if d.redact != nil && len(t.Payload) > 0 {
		t.Payload = d.redact(t.Kind, slices.Clone(t.Payload))
		if len(t.Payload) > 0 && !json.Valid(t.Payload) {
			t.Payload = nil
		}
	}
	return t
}

var allStates = []punctual.State{
	punctual.StatePending, punctual.StateRunning, punctual.StateSucceeded, punctual.StateFailed, punctual.StateCanceled, punctual.StateSkipped,
	punctual.StateMissed, punctual.StateLost,
}

// runQueryOf reads what a page of the ledger is asked for.
func runQueryOf(v url.Values, limit int) (punctual.RunQuery, error) {
	q := punctual.RunQuery{TaskID: v.Get("task"), Before: v.Get("before")}
	for _, name := range v["state"] {
		if name == "" {
			continue
		}
		var s punctual.State
		if err := s.UnmarshalText([]byte(name)); err != nil {
			return q, fmt.Errorf("%w: no run has the state %q", errBadRequest, readable(clip(name, 64)))
		}
		q.States = append(q.States, s)
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := v.Get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return q, fmt.Errorf("%w: %s must be a time such as 2027-01-01T00:00:00Z", errBadRequest, name)
			}
			*into = t
		}
	}
	var err error
	q.Limit, err = intOf(v, "limit", limit, 1, punctual.MaxLimit-1)
	return q, err
}

// runs returns a page of the ledger and the cursor of the next one.
func (d *dashboard) runs(r *http.Request, q punctual.RunQuery) ([]punctual.Run, string, error) {
	limit := q.Limit
	q.Limit++
	found, err := d.s.Runs(r.Context(), q)
	if err != nil || len(found) <= limit {
		return found, "", err
	}
	return found[:limit], found[limit-1].ID, nil
}

func (d *dashboard) runPage(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	run, err := d.s.Run(r.Context(), id)
	d.view(w, r, Access{TaskID: run.TaskID, RunID: id}, "run", func() (pageData, error) {
		if err != nil {
			return pageData{}, err
		}
		s, taskErr := d.s.Task(r.Context(), run.TaskID)
		if skipMissing(taskErr) != nil {
			return pageData{}, taskErr
		}
		facts := ""
		if len(run.Result.Facts) > 0 {
			var b bytes.Buffer
			if json.Indent(&b, run.Result.Facts, "", "  ") == nil {
				facts = b.String()
			}
		}
		can := d.allowed(r, run.TaskID, id, ActionCancel, ActionRetry)
		return pageData{Title: "Run of " + cmp.Or(run.TaskName, run.TaskID), Page: "tasks", Live: "run", Content: map[string]any{
			"R": run, "Zone": zoneOf(s.Task.Schedule, d.clock.Now()), "TaskGone": taskErr != nil, "Output": clip(run.Result.Output, shownOutput),
			"OutputCut": len(run.Result.Output) > shownOutput, "Facts": facts, "Attempts": attempts(&run, d.clock.Now()),
			"CanCancel": can["cancel"] && !run.State.Final() && !run.CancelRequested,
			"CanRetry":  can["retry"] && run.State.Final() && taskErr == nil, "Lateness": firstLateness(&run),
		}}, nil
	})
}

func firstLateness(run *punctual.Run) time.Duration {
	f := factOf(run)
	l, _ := f.lateness()
	return max(l, 0)
}

// output serves all of a run's output as plain text.
func (d *dashboard) output(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	run, err := d.s.Run(r.Context(), id)
	if _, ok := d.may(w, r, Access{Action: ActionView, TaskID: run.TaskID, RunID: id}); !ok {
		return
	}
	if err != nil {
		d.failure(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", "attachment; filename=output.txt")
	_, _ = w.Write([]byte(strings.ToValidUTF8(run.Result.Output, "\uFFFD")))
}

func (d *dashboard) timelinePage(w http.ResponseWriter, r *http.Request) {
	d.view(w, r, Access{}, "timeline", func() (pageData, error) {
		g, err := d.gantt(r.Context(), r.URL.Query().Get("span"), r.URL.Query().Get("by"))
		return pageData{Title: "Timeline", Page: "timeline", Live: "timeline", Content: map[string]any{"G": g, "Spans": spans}}, err
	})
}

func (d *dashboard) instancesPage(w http.ResponseWriter, r *http.Request) {
	d.view(w, r, Access{}, "instances", func() (pageData, error) {
		found, err := d.s.Instances(r.Context())
		return pageData{Title: "Instances", Page: "instances", Live: "instances", Content: map[string]any{
			"Instances": found, "H": d.s.Health(), "Now": d.clock.Now(),
		}}, err
	})
}

// skipMissing is the error, unless it only says that a task has been removed meanwhile.
func skipMissing(err error) error {
	if errors.Is(err, punctual.ErrTaskNotFound) {
		return nil
	}
	return err
}
