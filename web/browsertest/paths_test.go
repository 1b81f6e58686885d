package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/web"
)

// alive is a scheduler that really runs, with tasks that do so when they are asked.
func alive(t *testing.T) *punctual.Scheduler {
	t.Helper()
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		switch run.TaskID {
		case "fails":
			return punctual.Result{Output: "halfway"}, errors.New("the disk is full")
		case "busy":
			<-ctx.Done()
			return punctual.Result{}, ctx.Err()
		}
		return punctual.Result{Output: "42 articles", Facts: json.RawMessage(`{"tokens": 7}`)}, nil
	}), punctual.WithInstance("ada"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	for _, task := range []punctual.Task{
		{ID: "feed", Name: "Fetch the feed", Schedule: punctual.Daily("09:30", time.UTC), Labels: map[string]string{"team": "news"}},
		{ID: "fails", Name: "Fill the disk", Schedule: punctual.Daily("10:30", time.UTC)},
		{ID: "busy", Name: "Dig on", Schedule: punctual.Daily("11:30", time.UTC)},
	} {
		require.NoError(t, s.Add(t.Context(), task))
	}
	require.NoError(t, s.Start(t.Context()))
	return s
}

func TestOperatorFindsATaskAndSteersIt(t *testing.T) {
	b := browser(t)
	s := alive(t)
	p := open(t, b, web.Handler(s))
	p.visit("")
	p.shows("Healthy.")
	p.click("a", "Tasks")
	p.do(chromedp.SetValue(`input[name=q]`, "feed", chromedp.ByQuery))
	p.click("button", "Show")
	p.shows("1 task")
	assert.NotContains(t, p.text(), "Dig on")
	p.click("a", "Fetch the feed")
	p.shows("every day at 09:30")

	p.click("button", "Pause")
	p.shows("The task is paused.")
	snapshot, err := s.Task(t.Context(), "feed")
	require.NoError(t, err)
	assert.True(t, snapshot.Paused)
	p.click("button", "Resume")
	p.shows("The task runs on its schedule again.")

	p.click("button", "Run now")
	p.shows("42 articles")
	p.shows("Run again")
	p.click("button", "Run again")
	p.shows("A new run was asked for.")
	p.click("a", "Fetch the feed")
	p.shows("manual")
	runs, err := s.Runs(t.Context(), punctual.RunQuery{TaskID: "feed"})
	require.NoError(t, err)
	assert.Len(t, runs, 2)
}

func TestOperatorCancelsARun(t *testing.T) {
	b := browser(t)
	s := alive(t)
	p := open(t, b, web.Handler(s))
	run, err := s.RunNow(t.Context(), "busy")
	require.NoError(t, err)
	p.visit("")
	p.click("a", "Dig on")
	p.shows("running")
	p.click("button", "Cancel")
	p.shows("canceled")
	got, err := s.Run(t.Context(), run.ID)
	require.NoError(t, err)
	assert.True(t, got.CancelRequested || got.State == punctual.StateCanceled)
}

func TestPageFollowsWithoutReload(t *testing.T) {
	b := browser(t)
	s := alive(t)
	p := open(t, b, web.Handler(s))
	for _, path := range []string{"", "tasks", "task?id=fails", "timeline"} {
		p.visit(path)
		p.until(`document.getElementById("live").textContent === "live"`)
		p.do(chromedp.Evaluate(`window.here = true; [...document.querySelectorAll("details")].forEach((d) => { d.open = true })`, nil))
		run, err := s.RunNow(t.Context(), "fails")
		require.NoError(t, err)
		p.until(fmt.Sprintf(`document.querySelector('a[href*="%s"]')`, run.ID))
		p.until(`window.here === true && [...document.querySelectorAll("details")].every((d) => d.open)`)
	}
}

func TestFocusAndFieldsSurviveAChange(t *testing.T) {
	b := browser(t)
	s := alive(t)
	p := open(t, b, web.Handler(s))
	p.visit("task?id=feed")
	p.until(`document.getElementById("live").textContent === "live"`)
	p.do(chromedp.SetValue("#spec", "every 7", chromedp.ByQuery), chromedp.Focus(`//button[normalize-space()="Pause"]`, chromedp.BySearch))
	require.NoError(t, s.Pause(t.Context(), "feed"))
	p.shows("Resume")
	p.until(`document.querySelector("#spec").value === "every 7"`)
	p.until(`document.activeElement.tagName === "BUTTON" && document.activeElement.form.getAttribute("id") === "actions"`)
}

func TestScheduleIsPreviewedWhileItIsTyped(t *testing.T) {
	b := browser(t)
	s := alive(t)
	p := open(t, b, web.Handler(s))
	p.visit("task?id=feed")
	p.do(chromedp.Evaluate(`document.getElementById("spec").value = ""`, nil), chromedp.SendKeys("#spec", "daily 07:15 Europe/Berlin", chromedp.ByQuery))
	p.shows("every day at 07:15, Europe/Berlin")
	p.until(`document.querySelectorAll("#preview tbody tr, #preview tr td").length >= 20`)
	p.do(chromedp.SendKeys("#spec", " or so", chromedp.ByQuery))
	p.until(`document.querySelector("#spec-error").textContent !== "" && document.querySelector("#spec").getAttribute("aria-invalid") === "true" && document.querySelector("#preview").textContent === ""`)
	p.do(chromedp.Evaluate(`document.getElementById("spec").value = ""`, nil), chromedp.SendKeys("#spec", "daily 07:15 Europe/Berlin", chromedp.ByQuery))
	p.click("button", "Save")
	p.shows("The schedule is saved.")
	snapshot, err := s.Task(t.Context(), "feed")
	require.NoError(t, err)
	assert.Equal(t, "daily 07:15 Europe/Berlin", snapshot.Task.Schedule.String())
}

func TestTimesAreInTheViewersZone(t *testing.T) {
	b := browser(t)
	s := alive(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	require.NoError(t, s.Add(t.Context(), punctual.Task{ID: "once", Schedule: punctual.Once(time.Date(2087, 1, 15, 18, 0, 0, 0, berlin))}))
	p := open(t, b, web.Handler(s))
	p.visit("task?id=once")
	p.shows("Jan 15, 2087, 12:00:00") // New York, where this browser is
	p.until(`document.querySelector("footer").innerText.includes("in your zone, America/New_York")`)
}

func TestKeysLeadThroughThePages(t *testing.T) {
	b := browser(t)
	s := alive(t)
	p := open(t, b, web.Handler(s))
	p.visit("")
	p.do(chromedp.KeyEvent("?"))
	p.until(`document.getElementById("keys").open`)
	p.do(chromedp.KeyEvent(kb.Escape))
	p.until(`!document.getElementById("keys").open`)
	p.do(chromedp.KeyEvent("g"), chromedp.KeyEvent("t"))
	p.until(`location.pathname.endsWith("/tasks") && document.readyState === "complete"`)
	p.do(chromedp.KeyEvent("/"))
	p.until(`document.activeElement.type === "search"`)
	p.do(chromedp.KeyEvent("gi"))
	p.until(`document.activeElement.value.endsWith("gi")`)
	p.do(chromedp.Evaluate(`document.activeElement.blur()`, nil), chromedp.KeyEvent("j"), chromedp.KeyEvent("j"))
	p.until(`document.activeElement.textContent === "Fill the disk"`)
	p.do(chromedp.KeyEvent("k"))
	p.until(`document.activeElement.textContent === "Dig on"`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`location.search === "?id=busy" && document.readyState === "complete"`)
}

func TestPagesReadWithoutScript(t *testing.T) {
	b := browser(t)
	s := alive(t)
	_, err := s.RunNow(t.Context(), "fails")
	require.NoError(t, err)
	p := open(t, b, web.Handler(s))
	p.do(emulation.SetScriptExecutionDisabled(true))
	for path, want := range map[string]string{"": "Runs that ended in the last 24 hours", "tasks": "Fill the disk", "task?id=feed&schedule=every+5m": "every 5m", "timeline": "by instance", "instances": "ada"} {
		p.do(chromedp.Navigate(p.base + path))
		assert.Contains(t, p.text(), want, path)
	}
}
