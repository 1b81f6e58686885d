package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/web"
)

// BenchmarkPages measures pages over 100,000 tasks: the first look, which reads them all where it must, and the following ones.
func BenchmarkPages(b *testing.B) {
	s, err := punctual.New(memoryStore(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil }))
	require.NoError(b, err)
	for i := range 100_000 {
		require.NoError(b, s.Add(b.Context(), punctual.Task{ID: fmt.Sprintf("task-%06d", i), Schedule: punctual.Daily(fmt.Sprintf("%02d:%02d", i%24, i%60), time.UTC), Labels: map[string]string{"team": fmt.Sprint(i % 7)}}))
	}
	for _, path := range []string{"", "tasks", "tasks?q=099", "tasks?sort=next", "tasks?sort=-name&state=waiting&page=500", "timeline", "task?id=task-050000"} {
		for _, first := range []bool{true, false} {
			b.Run(fmt.Sprintf("/%s first=%v", path, first), func(b *testing.B) {
				handler := web.Handler(s)
				for b.Loop() {
					if first {
						handler = web.Handler(s)
					}
					r := request("GET", path, nil)
					r.RemoteAddr = "127.0.0.1:1"
					answer := httptest.NewRecorder()
					handler.ServeHTTP(answer, r)
					if answer.Code != http.StatusOK {
						b.Fatal(answer.Code)
					}
				}
			})
		}
	}
}
