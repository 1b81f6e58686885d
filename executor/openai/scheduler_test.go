package openai_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
	"github.com/punctual-go/punctual/store/memory"
)

// Inside the bubble the real clock is a fake one. The network would not be part of it, so the endpoint is a RoundTripper.
func TestTheSchedulerWaitsAsLongAsTheEndpointAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		var keys []string
		answers := []*http.Response{
			{StatusCode: 429, Header: http.Header{"Retry-After": {"7"}}},
			{StatusCode: 503, Header: http.Header{"Retry-After": {begin.Add(time.Minute).UTC().Format(http.TimeFormat)}}},
			{StatusCode: 500, Header: http.Header{}},
			{StatusCode: 200, Header: http.Header{}},
		}
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			at, keys = append(at, time.Since(begin)), append(keys, r.Header.Get("Idempotency-Key"))
			answer := answers[0]
			answers = answers[1:]
			answer.Request, answer.Body = r, io.NopCloser(strings.NewReader(goodAnswer))
			return answer, nil
		})}
		s, err := punctual.New(memory.New(), executorFor(t, "http://host/v1", openai.WithHTTPClient(client)))
		require.NoError(t, err)
		require.NoError(t, s.Start(context.Background()))
		payload, err := openai.NewPayload(hello())
		require.NoError(t, err)
		require.NoError(t, s.Add(context.Background(), punctual.Task{
			ID: "hello", Schedule: punctual.Every(time.Hour), Payload: payload, Retry: punctual.Retry{MaxAttempts: 4, Initial: 3 * time.Second},
		}))
		time.Sleep(10 * time.Minute)
		runs, err := s.Runs(context.Background(), punctual.RunQuery{TaskID: "hello"})
		require.NoError(t, err)
		require.Len(t, runs, 1)
		assert.Equal(t, punctual.StateSucceeded, runs[0].State, runs[0].Error)
		assert.Equal(t, "Good morning.", runs[0].Result.Output)
		assert.Equal(t, 12, factsOf(t, runs[0].Result).Usage.TotalTokens)
		// 3 s doubled twice is the task's own wait after the third failure.
		assert.Equal(t, []time.Duration{0, 7 * time.Second, time.Minute, time.Minute + 12*time.Second}, at)
		assert.Equal(t, []string{runs[0].ID, runs[0].ID, runs[0].ID, runs[0].ID}, keys)
		require.NoError(t, s.Shutdown(context.Background()))
	})
}

func TestTheSchedulerEndsARunWhoseErrorIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			calls++
			return &http.Response{StatusCode: 401, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":"who are you?"}`)), Request: r}, nil
		})}
		s, err := punctual.New(memory.New(), executorFor(t, "http://host/v1", openai.WithHTTPClient(client)))
		require.NoError(t, err)
		require.NoError(t, s.Start(context.Background()))
		payload, err := openai.NewPayload(hello())
		require.NoError(t, err)
		require.NoError(t, s.Add(context.Background(), punctual.Task{
			ID: "hello", Schedule: punctual.Every(time.Hour), Payload: payload, Retry: punctual.Retry{MaxAttempts: 4},
		}))
		time.Sleep(time.Hour + time.Minute)
		runs, err := s.Runs(context.Background(), punctual.RunQuery{TaskID: "hello"})
		require.NoError(t, err)
		require.Len(t, runs, 2, "the schedule goes on")
		assert.Equal(t, 2, calls)
		assert.Equal(t, punctual.StateFailed, runs[0].State)
		assert.Equal(t, "openai: host answered 401 Unauthorized: who are you?", runs[0].Error)
		require.NoError(t, s.Shutdown(context.Background()))
	})
}
