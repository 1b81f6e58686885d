package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
	"github.com/punctual-go/punctual/store/memory"

	"github.com/punctual-go/punctual/examples/llmcron/internal/notify"
	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
	"github.com/punctual-go/punctual/examples/llmcron/internal/vault"
	"github.com/punctual-go/punctual/examples/llmcron/internal/web"
)

// model stands in for the endpoint: it keeps what it was asked and answers as told.
type model struct {
	mu     sync.Mutex
	asked  []openai.Request
	at     []time.Time
	active int
	most   int
	answer func(n int, r openai.Request) (punctual.Result, error)
	takes  time.Duration
}

func (m *model) Execute(_ context.Context, run punctual.Run) (punctual.Result, error) {
	var r openai.Request
	if err := json.Unmarshal(run.Payload, &r); err != nil {
		return punctual.Result{}, err
	}
	m.mu.Lock()
	m.asked, m.at = append(m.asked, r), append(m.at, time.Now())
	n := len(m.asked)
	m.active++
	m.most = max(m.most, m.active)
	m.mu.Unlock()
	time.Sleep(m.takes)
	m.mu.Lock()
	m.active--
	m.mu.Unlock()
	return m.answer(n, r)
}

// used answers with a text and a usage.
func used(text string, prompt, completion int) punctual.Result {
	facts, _ := json.Marshal(openai.Facts{Usage: &openai.Usage{PromptTokens: prompt, CompletionTokens: completion, TotalTokens: prompt + completion}})
	return punctual.Result{Output: text, Facts: facts}
}

// newCallingSite is a site whose calls go through the service's own executor to a model.
func newCallingSite(t *testing.T, m *model, opts ...punctual.Option) *site {
	return newSiteOf(t, func(*vault.Vault) punctual.Executor { return m }, opts...)
}

// newWiredSite is a site whose calls go as HTTP requests to a function.
func newWiredSite(t *testing.T, answer roundTrip, opts ...punctual.Option) *site {
	return newSiteOf(t, func(v *vault.Vault) punctual.Executor {
		return openai.New(openai.WithKeys(service.Keys(v)), openai.WithHTTPClient(&http.Client{Transport: answer}))
	}, opts...)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// replies is an answer of an endpoint.
func replies(code int, kind, body string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
}

func newSiteOf(t *testing.T, inner func(*vault.Vault) punctual.Executor, opts ...punctual.Option) *site {
	return newSiteOn(t, memory.New(), &lockedLogs{}, inner, opts...)
}

// newSiteOn is a site over a store, put together as main does it.
func newSiteOn(t *testing.T, store punctual.Store, logs *lockedLogs, inner func(*vault.Vault) punctual.Executor, opts ...punctual.Option) *site {
	s := &site{t: t, begin: time.Now(), logs: logs}
	v, err := vault.New(make([]byte, vault.KeySize))
	require.NoError(t, err)
	logger := slog.New(slog.NewTextHandler(s.logs, nil))
	notifier, err := notify.New("", service.ReasonBudget, logger)
	require.NoError(t, err)
	caller := service.NewCaller(inner(v))
	opts = append([]punctual.Option{punctual.WithLogger(logger), punctual.WithObserver(notifier)}, opts...)
	s.scheduler, err = punctual.New(store, caller, opts...)
	require.NoError(t, err)
	caller.Use(s.scheduler)
	t.Cleanup(func() {
		_ = s.scheduler.Close()
		notifier.Close(context.Background())
	})
	s.service = service.New(s.scheduler, v, service.Ladder(50), time.Minute)
	s.handler = web.Handler(s.service, web.Options{Logger: logger, Dashboard: web.Dashboard(s.scheduler, logger, false)})
	return s.start()
}

// C25 (hermes-agent#32290, openclaw#40263): an endpoint that cannot be reached is tried again on a ladder, up to the next occurrence.
func TestAModelThatCannotBeReachedIsTriedOnALadder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{answer: func(n int, _ openai.Request) (punctual.Result, error) {
			if n <= 4 {
				return punctual.Result{}, errors.New("no route to host")
			}
			return used("back", 1, 1), nil
		}}
		s := newCallingSite(t, m)
		id := ways[0].create(s, "", fields(nil))
		s.wait(time.Minute)
		var page logPage
		s.get("/api/tasks/"+id+"/logs", &page)
		require.Len(t, page.Logs, 1)
		assert.Equal(t, "running", page.Logs[0].Status, "between two attempts")
		assert.Equal(t, "no route to host", page.Logs[0].ErrorMessage)
		assert.Len(t, page.Logs[0].Attempts, 4, "failed attempts are visible")
		s.wait(time.Minute)
		s.get("/api/tasks/"+id+"/logs", &page)
		assert.Equal(t, "success", page.Logs[0].Status)
		assert.Equal(t, 5, page.Logs[0].Attempt)
		var waits []time.Duration
		for i := 1; i < len(m.at); i++ {
			waits = append(waits, m.at[i].Sub(m.at[i-1]))
		}
		assert.Equal(t, []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second}, waits)
		s.stop()
	})
}

func TestTheLadderEndsBeforeTheNextOccurrence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{answer: func(int, openai.Request) (punctual.Result, error) {
			return punctual.Result{}, errors.New("no route to host")
		}}
		s := newCallingSite(t, m)
		id := ways[0].create(s, "", fields(map[string]any{"interval_minutes": 1}))
		s.wait(2*time.Minute - time.Second)
		assert.Equal(t, []string{"register failed", "schedule failed"}, s.statuses(id), "none ends in silence, none overlaps the next")
		assert.Len(t, m.at, 8, "at 0, 5, 15 and 35 s of each minute")
		s.stop()
	})
}

// C26 (openhermit#261) is executor/openai's; its error ends up here as any other.

// C27 (Octop#1014): a budget per day stops calls, the ledger says so, and it is told once.
func TestABudgetStopsCallsUntilTomorrow(t *testing.T) {
	budgets := map[string]map[string]any{
		"tokens": {"daily_tokens": 250},
		"cost":   {"daily_cost": 0.5, "prompt_price": 1000, "completion_price": 3000}, // 0.06 + 0.12 a call
	}
	for name, budget := range budgets {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{answer: func(int, openai.Request) (punctual.Result, error) { return used("spent", 60, 40), nil }}
				s := newCallingSite(t, m)
				midnight := s.begin.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
				s.wait(midnight.Sub(s.begin))
				change := map[string]any{"interval_minutes": 5}
				for k, v := range budget {
					change[k] = v
				}
				id := ways[0].create(s, "", fields(change))
				s.wait(time.Hour - time.Second)
				assert.Len(t, m.at, 3, "the third call uses the budget up")
				var page logPage
				s.get("/api/tasks/"+id+"/logs", &page)
				assert.Equal(t, "skipped", page.Logs[0].Status)
				assert.Equal(t, "budget", page.Logs[0].ErrorMessage)
				assert.Len(t, page.Logs, 12, "each occurrence is accounted for")
				assert.Equal(t, 1, s.count("budget used up"))
				s.wait(24 * time.Hour)
				assert.Len(t, m.at, 6, "the next day has a budget of its own")
				assert.Equal(t, 2, s.count("budget used up"))
				s.stop()
			})
		})
	}
}

func TestABudgetOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		m := &model{answer: func(int, openai.Request) (punctual.Result, error) { return used("spent", 60, 40), nil }}
		life := func(work func(*service.Service, *punctual.Scheduler)) {
			caller := service.NewCaller(m)
			s, err := punctual.New(store, caller)
			require.NoError(t, err)
			caller.Use(s)
			v, err := vault.New(make([]byte, vault.KeySize))
			require.NoError(t, err)
			require.NoError(t, s.Start(t.Context()))
			work(service.New(s, v, service.Ladder(1), time.Minute), s)
			synctest.Wait()
			require.NoError(t, s.Shutdown(context.Background()))
		}
		var id string
		life(func(tasks *service.Service, _ *punctual.Scheduler) {
			var in service.Input
			require.NoError(t, json.Unmarshal([]byte(body(fields(map[string]any{"daily_tokens": 100}))), &in))
			task, err := tasks.Create(t.Context(), in)
			require.NoError(t, err)
			id = task.ID
			synctest.Wait()
		})
		life(func(_ *service.Service, s *punctual.Scheduler) {
			run, err := s.RunNow(t.Context(), id)
			require.NoError(t, err)
			synctest.Wait()
			run, err = s.Run(t.Context(), run.ID)
			require.NoError(t, err)
			assert.Equal(t, punctual.StateSkipped, run.State)
		})
		assert.Len(t, m.at, 1)
	})
}

// C28 (QwenPaw#1851): thirty tasks meet at nine o'clock; limits hold, and the rest start as slots free up, in due order.
func TestThirtyTasksAtNine(t *testing.T) {
	for name, limit := range map[string]punctual.Option{
		"concurrency": punctual.WithKindConcurrency(service.Kind, 4),
		"rate":        punctual.WithKindRate(service.Kind, 2*time.Second, 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{takes: 10 * time.Second, answer: func(int, openai.Request) (punctual.Result, error) { return used("morning", 1, 1), nil }}
				s := newCallingSite(t, m, limit)
				for i := range 30 {
					ways[0].create(s, "", fields(map[string]any{
						"name": fmt.Sprint("task ", i), "schedule_type": "fixed_time", "fixed_time": "09:00", "interval_minutes": nil,
					}))
				}
				s.wait(25 * time.Hour)
				assert.Len(t, m.at, 30, "none is lost")
				if name == "concurrency" {
					assert.Equal(t, 4, m.most)
					assert.Equal(t, 70*time.Second, m.at[29].Sub(m.at[0]), "as slots free up")
				} else {
					for i := 1; i < 30; i++ {
						assert.Equal(t, 2*time.Second, m.at[i].Sub(m.at[i-1]))
					}
				}
				var page logPage
				s.get("/api/logs?limit=100", &page)
				require.Len(t, page.Logs, 30)
				for _, entry := range page.Logs {
					assert.Equal(t, "success", entry.Status)
				}
				s.stop()
			})
		})
	}
}

func TestVariablesAndSettingsReachTheModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{answer: func(n int, _ openai.Request) (punctual.Result, error) {
			return used(fmt.Sprintf("answer %d {{.Now}}", n), 1, 1), nil
		}}
		s := newCallingSite(t, m)
		id := ways[0].create(s, "", fields(map[string]any{
			"api": "responses", "system_prompt": "It is {{.Weekday}}.", "timezone": "Asia/Shanghai", "max_tokens": 50, "temperature": 0, "stream": true, "first_token_seconds": 30,
			"message_content": "{{ .Date }} {{.Time}} {{.TaskName}} before: [{{.LastOutput}}] {\"json\": {{}}}",
		}))
		s.wait(10 * time.Minute)
		require.Len(t, m.asked, 2)
		local := s.begin.In(time.FixedZone("CST", 8*3600))
		assert.Equal(t, "It is "+local.Weekday().String()+".", m.asked[0].System)
		assert.Equal(t, local.Format("2006-01-02 15:04")+` ping before: [] {"json": {{}}}`, m.asked[0].Prompt)
		assert.Contains(t, m.asked[1].Prompt, "before: [answer 1 {{.Now}}]", "an output is text, not a template")
		assert.Equal(t, openai.APIResponses, m.asked[0].API)
		assert.Equal(t, 50, m.asked[0].MaxTokens)
		assert.True(t, m.asked[0].Stream)
		assert.Equal(t, 30.0, m.asked[0].FirstTokenSeconds)
		require.NotNil(t, m.asked[0].Temperature)
		assert.Zero(t, *m.asked[0].Temperature)
		var task service.Task
		s.get("/api/tasks/"+id, &task)
		assert.EqualValues(t, 50, task.MaxTokens)

		for field, value := range map[string]any{
			"message_content": "{{.Password}}", "max_tokens": -1, "daily_cost": 3, "first_token_seconds": -1, "temperature": 3, "timeout_seconds": 1e7,
			"api": "assistants",
		} {
			w := s.send("POST", "/api/tasks", body(fields(map[string]any{field: value})))
			assert.Equal(t, 422, w.Code, field)
			assert.Contains(t, w.Body.String(), `"`+field+`"`)
		}
		s.stop()
	})
}

func TestTheEditFormKeepsSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{answer: func(int, openai.Request) (punctual.Result, error) { return used("ok", 1, 1), nil }}
		s := newCallingSite(t, m)
		settings := map[string]any{
			"api": "responses", "system_prompt": "Be brief.", "max_tokens": 50, "temperature": 0.5, "timeout_seconds": 60, "stream": true, "first_token_seconds": 30,
			"daily_tokens": 1000, "daily_cost": 1.5, "prompt_price": 0.25, "completion_price": 2,
		}
		id := ways[0].create(s, "", fields(settings))
		var before, after service.Task
		s.get("/api/tasks/"+id, &before)
		page := s.send("GET", "/tasks/"+id+"/edit", "").Body.String()
		for name, value := range settings {
			if name != "stream" {
				assert.Contains(t, page, fmt.Sprint(value), name)
			}
		}
		settings["stream"] = "on"
		ways[1].edit(s, id, fields(settings))
		s.get("/api/tasks/"+id, &after)
		assert.Equal(t, before.Settings, after.Settings)
		s.wait(time.Second)
		s.stop()
	})
}

func TestPagesAreChineseForWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{answer: func(int, openai.Request) (punctual.Result, error) { return used("ok", 1, 1), nil }}
		s := newCallingSite(t, m)
		id := ways[0].create(s, "", fields(map[string]any{"name": "Tasks"}))
		s.wait(time.Second)
		for _, path := range []string{"/", "/tasks/new", "/tasks/" + id + "/edit", "/tasks/" + id + "/logs", "/tasks/" + id + "/delete", "/import", "/absent"} {
			page := s.send("GET", path, "", "Accept-Language", "zh-CN,zh;q=0.9").Body.String()
			assert.Contains(t, page, `<html lang="zh-CN">`, path)
			assert.Contains(t, page, "新建任务", path)
			assert.Contains(t, page, `href="/language?to=en`, path)
			assert.Contains(t, s.send("GET", path, "").Body.String(), `<html lang="en">`, path)
		}
		page := s.send("GET", "/tasks/"+id+"/logs", "", "Accept-Language", "zh").Body.String()
		assert.Contains(t, page, "<h1>Tasks</h1>", "names of tasks are not translated")
		assert.Contains(t, page, "每 10 分钟")
		s.stop()
	})
}

func TestReasonsOfAFormAreChineseForWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCallingSite(t, pongs(0))
		for _, change := range []map[string]any{
			{"model": ""},
			{"message_content": "{{.Password}}"},
			{"api_endpoint": "ftp://x"},
			{"api_endpoint": "https://" + strings.Repeat("a", 254)},
			{"api_endpoint": "https://host/" + strings.Repeat("a", 3000)},
			{"interval_minutes": "soon"},
			{"interval_minutes": -1},
			{"max_tokens": -1},
			{"temperature": 3},
			{"daily_cost": 1},
			{"first_token_seconds": 5},
			{"schedule_type": "fixed_time", "fixed_time": "25:00"},
			{"schedule_type": "cron", "cron": "61 * * * *"},
			{"schedule_type": "cron", "cron": "x"},
			{"schedule_type": "cron", "cron": "0 0 30 2 *"},
			{"schedule_type": "cron", "cron": "0 9 * * 1", "timezone": "Mars/X"},
			{"name": strings.Repeat("x", 300)},
			{"name": "a\x00b"},
			{"api": "assistants"},
			{"model": "o1", "temperature": 0.5},
		} {
			values := url.Values{}
			for k, v := range fields(change) {
				values.Set(k, fmt.Sprint(v))
			}
			w := s.send("POST", "/tasks", values.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept-Language", "zh")
			require.Equal(t, http.StatusUnprocessableEntity, w.Code, change)
			found := regexp.MustCompile(`<small class="fault">([^<]*)</small>`).FindAllStringSubmatch(w.Body.String(), -1)
			require.NotEmpty(t, found, change)
			for _, fault := range found {
				assert.Regexp(t, `\p{Han}`, fault[1], "%v", change)
			}
			if _, number := change["interval_minutes"].(string); !number {
				answer := s.send("POST", "/api/tasks", body(fields(change)))
				assert.NotRegexp(t, `\p{Han}`, answer.Body.String(), "the API stays English")
			}
		}
		w := s.send("POST", "/import", "file=x", "Content-Type", "application/x-www-form-urlencoded", "Accept-Language", "zh")
		assert.Contains(t, w.Body.String(), "文件不是 YAML")
		s.stop()
	})
}
