package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

func TestDashboardStandsBehindTheToken(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil }))
	require.NoError(t, err)
	require.NoError(t, s.Add(t.Context(), punctual.Task{ID: "a", Schedule: punctual.Daily("12:00", time.UTC), Payload: []byte(`{"model": "small", "sealed_key": "c2VhbGVk"}`)}))
	handler := Handler(nil, Options{Token: "secret", Logger: logger, Dashboard: Dashboard(s, logger, false)})
	ask := func(method, path, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		return answer
	}
	assert.Equal(t, http.StatusSeeOther, ask("GET", "/punctual/", "").Code)
	assert.Equal(t, "/login", ask("GET", "/punctual/tasks", "wrong").Header().Get("Location"))
	assert.Equal(t, http.StatusUnauthorized, ask("GET", "/punctual/api/tasks", "").Code)
	assert.Equal(t, http.StatusUnauthorized, ask("POST", "/punctual/api/task/run?id=a", "wrong").Code)

	page := ask("GET", "/punctual/task?id=a", "secret")
	assert.Equal(t, http.StatusOK, page.Code)
	assert.Contains(t, page.Body.String(), "small")
	assert.NotContains(t, page.Body.String(), "c2VhbGVk", "a key is shown nowhere, sealed or not")
	assert.NotContains(t, page.Body.String(), "Save", "schedules are changed on llmcron's pages")
	assert.Equal(t, http.StatusForbidden, ask("POST", "/punctual/api/task/pause?id=a", "secret").Code)
	assert.Equal(t, http.StatusOK, ask("POST", "/punctual/api/task/run?id=a", "secret").Code)
}
