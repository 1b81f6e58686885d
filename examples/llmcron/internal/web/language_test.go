package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

func TestEveryTextOfThePagesIsInChinese(t *testing.T) {
	templates, err := fs.Glob(files, "templates/*.html")
	require.NoError(t, err)
	texts := regexp.MustCompile(`\{\{t "([^"]+)"\}\}`)
	// Words between tags that no call of t stands for would stay English.
	bare := regexp.MustCompile(`>([^<>{}]*[A-Za-z]{3,}[^<>{}]*)<`)
	for _, name := range templates {
		text, err := fs.ReadFile(files, name)
		require.NoError(t, err)
		for _, m := range texts.FindAllStringSubmatch(string(text), -1) {
			assert.Contains(t, inChinese, m[1], name)
		}
		for _, m := range bare.FindAllStringSubmatch(string(text), -1) {
			assert.Contains(t, []string{"llmcron"}, m[1], name)
		}
	}
	for _, n := range more(service.Settings{}) {
		assert.Contains(t, inChinese, n.Label)
	}
	for text, translated := range inChinese {
		assert.Regexp(t, `\p{Han}`, translated, text)
	}
}

func TestTheLanguageIsWhatTheReaderAsksFor(t *testing.T) {
	for header, want := range map[string]string{
		"": english, "de": english, "zh": chinese, "zh-CN,zh;q=0.9,en;q=0.8": chinese, "en-US,en;q=0.9,zh;q=0.8": english,
		"de, zh-TW;q=0.5, en;q=0.1": chinese, "zh;q=0": english, ";;q=,": english,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", header)
		assert.Equal(t, want, languageOf(r), header)
		r.AddCookie(&http.Cookie{Name: languageCookie, Value: english})
		assert.Equal(t, english, languageOf(r), "a choice counts for more")
	}
}

func TestTheSwitchGoesBackOnlyToItsOwnPages(t *testing.T) {
	s := &server{}
	for back, want := range map[string]string{
		"/tasks/x/logs?cursor=1": "/tasks/x/logs?cursor=1", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "": "/",
		"/\t/evil.example": "/", "/\n/evil.example": "/", "/\x00/evil.example": "/",
	} {
		r := httptest.NewRequest("GET", "/language", nil)
		q := r.URL.Query()
		q.Set("to", "zh")
		q.Set("back", back)
		r.URL.RawQuery = q.Encode()
		w := httptest.NewRecorder()
		s.chooseLanguage(w, r)
		assert.Equal(t, http.StatusSeeOther, w.Code)
		assert.Equal(t, want, w.Header().Get("Location"), back)
		assert.Equal(t, "zh", w.Result().Cookies()[0].Value)
	}
}

func TestSchedulesHaveChineseWords(t *testing.T) {
	for _, task := range []service.Task{
		{ScheduleType: service.Interval, IntervalMinutes: 5},
		{ScheduleType: service.Interval, IntervalSeconds: 5},
		{ScheduleType: service.FixedTime, FixedTime: "09:00", Timezone: "Asia/Shanghai"},
	} {
		words := scheduleIn(chinese, task)
		han := false
		for _, r := range words {
			han = han || unicode.Is(unicode.Han, r)
		}
		assert.True(t, han, words)
	}
	assert.Equal(t, "every 5m", scheduleIn(english, service.Task{Schedule: "every 5m"}))
}
