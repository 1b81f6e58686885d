package web_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/web"
)

func TestPagesSayWhatIsGoingOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		failed, works, panicked := w.runs("fails")[0].ID, w.runs("works")[0].ID, w.runs("panics")[0].ID
		for _, c := range []struct {
			path string
			want []string
		}{
			{"", []string{"Healthy.", "Running 1", "Due within an hour 3 of 6 tasks", "Failing 2 last run failed", "Paused 1", "running busy since 2000-01-01 00:00:00 UTC", "Half began within 0 s"}},
			{"?window=1h", []string{"Runs that ended in the last hour"}},
			{"tasks", []string{"failing fails", "running busy", "waiting It works works team=news every 1h", "paused rests", "daily 12:00 Europe/Berlin 2000-01-01 11:00:00 UTC"}},
			{"tasks?q=LUNCH", []string{"Lunch", "1 task"}},
			{"tasks?q=nothing", []string{"No task matches."}},
			{"tasks?label=team%3Dops", []string{"fails", "1 task"}},
			{"tasks?state=paused", []string{"rests", "1 task"}},
			{"task?id=noon", []string{"every day at 12:00, Europe/Berlin", "2000-01-01 12:00:00 CET 2000-01-01 11:00:00 UTC", "2000-01-10 12:00:00 CET", "No run has ended yet."}},
			{"task?id=works", []string{"Run now", "Pause", "register", "42 articles", "half took at most 2 s", "every 1h", "Definition"}},
			{"task?id=works&state=failed", []string{"no runs"}},
			{"task?id=rests", []string{"Resume", "Paused: nothing is owed until it is resumed."}},
			{"run?id=" + failed, []string{"failed", "Attempts", "1 failed", "2 failed", "boom", "before the end", "Run again"}},
			{"run?id=" + works, []string{"succeeded", "took 2 s", "42 articles", `&#34;tokens&#34;: 7`}},
			{"run?id=" + panicked, []string{"panic", "at the disco", "Stack", "goroutine"}},
			{"timeline?span=24h", []string{"What ran in the last day", "It works", "busy", "Lunch"}},
			{"timeline?by=instance", []string{"by instance", "ada"}},
			{"instances", []string{"Healthy.", "ada", "Clock offset 0 s"}},
		} {
			page := w.page(c.path)
			for _, part := range c.want {
				assert.Contains(t, text(page), part, c.path)
			}
		}
	})
}

func TestPagesShowKindsThatNobodyHandles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := lonely(t)
		for _, path := range []string{"", "instances"} {
			assertContains(t, text(w.page(path)), "Needs attention.", punctual.DegradedHandler, "report")
		}
		page := text(w.page("instances"))
		assertContains(t, page, "&#34;&#34;, mail", "none", "&lt;b&gt;")
		assert.Contains(t, text(newWorld(t, nil).page("instances")), "0 s 0 all")
	})
}

func TestPageOfWhatIsNotThereSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		for path, want := range map[string]int{
			"task?id=none": 404, "task": 404, "run?id=none": 404, "run": 404, "output?id=none": 404, "nothing": 404, "tasks/x": 404, "assets/none.js": 404,
			"tasks?sort=colour": 400, "tasks?state=sleepy": 400, "tasks?label=team": 400, "tasks?page=0": 400, "task?id=works&state=odd": 400,
			"?window=2h": 400, "timeline?span=1y": 400, "timeline?by=luck": 400, "api/runs?since=yesterday": 400, "api/runs?limit=1000": 400, "api/none": 404,
		} {
			assert.Equal(t, want, w.get(path).Code, path)
		}
	})
}

// The policy forbids inline scripts and styles; that the pages obey keeps them working under it.
func TestPagesKeepTheirOwnContentSecurityPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		for _, path := range everyPage(w) {
			answer := w.get(path)
			policy := answer.Header().Get("Content-Security-Policy")
			assert.Contains(t, policy, "default-src 'none'", path)
			assert.NotContains(t, policy, "unsafe", path)
			assert.Equal(t, "nosniff", answer.Header().Get("X-Content-Type-Options"), path)
			page := answer.Body.String()
			assert.NotRegexp(t, `(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script(?:[^>]*)>[^<]`, page, path)
			assert.NotRegexp(t, `(?:href|src|action)="(?:[a-z]+:|/)`, page, "%s: addresses are relative, so that the prefix does not matter", path)
		}
	})
}

func everyPage(w *world) []string {
	return []string{
		"", "?window=7d", "tasks", "tasks?sort=-next", "task?id=works", "task?id=fails", "task?id=noon&schedule=every+5m", "task?id=noon&schedule=wrong",
		"run?id=" + w.runs("fails")[0].ID, "run?id=" + w.runs("works")[0].ID, "run?id=" + w.runs("busy")[0].ID, "timeline", "timeline?by=instance", "instances", "nothing",
	}
}

func TestEachLinkLeadsSomewhereUnderAnyPrefix(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		for _, prefix := range []string{"", "/punctual", "/ops/cron"} {
			plain, err := url.PathUnescape(prefix)
			require.NoError(t, err)
			mux := http.NewServeMux()
			mux.Handle(plain+"/", http.StripPrefix(plain, w.handler))
			seen := map[string]bool{}
			queue := []string{"http://localhost" + prefix + "/"}
			for len(queue) > 0 {
				at := queue[0]
				queue = queue[1:]
				if seen[at] || len(seen) > 300 {
					continue
				}
				seen[at] = true
				base, err := url.Parse(at)
				require.NoError(t, err)
				r := httptest.NewRequest("GET", at, nil)
				r.RemoteAddr = "[::1]:1"
				answer := httptest.NewRecorder()
				mux.ServeHTTP(answer, r)
				if strings.Contains(base.RawQuery, "schedule=") {
					continue
				}
				require.Equal(t, http.StatusOK, answer.Code, at)
				assert.True(t, strings.HasPrefix(base.EscapedPath(), prefix+"/"), at)
				for _, m := range regexp.MustCompile(`(?:href|src)="([^"#][^"]*)"`).FindAllStringSubmatch(answer.Body.String(), -1) {
					to, err := base.Parse(html.UnescapeString(m[1]))
					require.NoError(t, err)
					queue = append(queue, to.String())
				}
			}
			assert.Greater(t, len(seen), 20, "the walk has lost its way")
		}
	})
}

func TestMountWithoutSlashIsLedToTheSlash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		r := httptest.NewRequest("GET", "/ops/punctual?x=1", nil)
		r.URL.Path = ""
		answer := w.send(withHost(r))
		assert.Equal(t, http.StatusSeeOther, answer.Code)
		assert.Equal(t, "punctual/", answer.Header().Get("Location"))
	})
}

func withHost(r *http.Request) *http.Request {
	r.Host = "localhost"
	return r
}

func TestPagesOfTasksShowEachTaskOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		const all = 1203
		for i := range all {
			w.add(punctual.Task{ID: fmt.Sprintf("task/%d", i), Schedule: punctual.Daily(fmt.Sprintf("%02d:%02d", i%24, i%60), time.UTC)})
		}
		for _, first := range []string{"tasks", "tasks?sort=-id", "tasks?sort=next", "tasks?sort=-name&state=waiting", "tasks?sort=last&q=task"} {
			seen := map[string]int{}
			pages := 0
			for at := first; at != ""; pages++ {
				page := w.page(at)
				for _, m := range regexp.MustCompile(`data-name="task"><a href="task\?id=([^"]*)"`).FindAllStringSubmatch(page, -1) {
					seen[m[1]]++
				}
				at = ""
				if m := regexp.MustCompile(`rel="next" href="([^"]*)"`).FindStringSubmatch(page); m != nil {
					at = html.UnescapeString(m[1])
				}
			}
			assert.Len(t, seen, all, first)
			assert.Equal(t, 25, pages, first)
			for id, n := range seen {
				assert.Equal(t, 1, n, "%s: %s", first, id)
			}
		}
	})
}

func TestTasksAreSorted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		for sort, want := range map[string][]string{
			"id":    {"busy", "fails", "noon", "panics", "rests", "works"},
			"-id":   {"works", "rests", "panics", "noon", "fails", "busy"},
			"name":  {"busy", "fails", "works", "noon", "panics", "rests"},
			"next":  {"busy", "fails", "works", "noon", "panics", "rests"},
			"-next": {"rests", "panics", "noon", "works", "fails", "busy"},
		} {
			var page struct {
				Tasks []struct{ ID string }
			}
			w.json("api/tasks?sort="+sort, &page)
			var got []string
			for _, task := range page.Tasks {
				got = append(got, task.ID)
			}
			assert.Equal(t, want, got, sort)
		}
	})
}

func TestScheduleIsPreviewedWithoutScript(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		good := text(w.page("task?id=works&schedule=daily+09:30+Asia/Kolkata"))
		assertContains(t, good, "every day at 09:30, Asia/Kolkata", "2000-01-01 09:30:00 IST 2000-01-01 04:00:00 UTC")
		bad := w.page("task?id=works&schedule=cron+0+25+*+*+*")
		assertContains(t, bad, `aria-invalid="true"`, "25")
		assert.Equal(t, "every 1h", w.task("works").Task.Schedule.String(), "a look changes nothing")
	})
}

func TestPayloadIsShownAsFarAsTheHostAllows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		redact := func(kind string, payload []byte) []byte {
			assert.Equal(t, "http", kind)
			return []byte(strings.ReplaceAll(string(payload), "example", "hidden"))
		}
		w := moderate(t, web.WithRedaction(func(kind string, p json.RawMessage) json.RawMessage { return redact(kind, p) }))
		for _, path := range []string{"task?id=works", "api/task?id=works"} {
			page := w.page(path)
			assert.Contains(t, page, "hidden", path)
			assert.NotContains(t, page, "example\"", path)
		}
		assert.Contains(t, string(w.task("works").Task.Payload), "example", "what is stored stays")
	})
}

func TestDashboardOfASchedulerThatIsShutDownCanBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		_ = w.s.Close() // names the run that it cut off
		time.Sleep(time.Second)
		assertContains(t, text(w.page("instances")), "Phase closed")
		assert.Equal(t, http.StatusServiceUnavailable, w.form("task", "id", "works", "action", "run").Code)
	})
}

func TestHistoryThatIsReadOnFollowsTheLedger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		type counts struct {
			Window struct {
				Outcomes map[string]int
			}
			Runs struct{ Running int }
		}
		var kept, fresh counts
		for range 20 {
			w.json("api/overview", &kept)
			time.Sleep(30 * time.Minute)
		}
		run := w.runs("busy")
		require.NoError(t, w.s.Cancel(t.Context(), run[len(run)-1].ID))
		synctest.Wait()
		time.Sleep(2 * time.Second)
		w.json("api/overview", &kept)
		w.handler = web.Handler(w.s)
		w.json("api/overview", &fresh)
		assert.Equal(t, fresh, kept, "what was read bit by bit is what one reading finds")
		assert.Equal(t, 1, kept.Window.Outcomes["canceled"])
		assert.Positive(t, kept.Window.Outcomes["succeeded"])
	})
}

func TestNextTimesOfALimitedTaskAreThoseThatAreLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		schedule, err := punctual.ParseSchedule("every 10m | limit 4")
		require.NoError(t, err)
		w.add(punctual.Task{ID: "four", Schedule: schedule})
		for left := 4; left >= 0; left-- {
			var shown struct {
				Next []time.Time `json:"next"`
			}
			w.json("api/task?id=four", &shown)
			assert.Len(t, shown.Next, left, "after %d", 4-left)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
	})
}
