package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/webhook"
	"github.com/punctual-go/punctual/store/memory"
)

func Example() {
	ctx := context.Background()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := webhook.Verify(r.Header, body, "a shared secret", time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprint(w, "refreshed")
	}))
	defer endpoint.Close()

	executor := webhook.New(webhook.WithSecrets(webhook.StaticSecrets(map[string]string{"refresh": "a shared secret"})))
	defer executor.CloseIdleConnections()
	s, err := punctual.New(memory.New(), executor)
	if err != nil {
		panic(err)
	}
	payload, err := webhook.NewPayload(webhook.Request{URL: endpoint.URL + "/refresh", SignWith: "refresh"})
	if err != nil {
		panic(err)
	}
	if err := s.Add(ctx, punctual.Task{ID: "refresh", Schedule: punctual.Every(time.Hour), Payload: payload, Timeout: time.Minute}); err != nil {
		panic(err)
	}
	if err := s.Start(ctx); err != nil {
		panic(err)
	}
	if err := s.WaitIdle(ctx); err != nil {
		panic(err)
	}
	runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: "refresh"})
	if err != nil {
		panic(err)
	}
	fmt.Println(runs[0].Trigger, runs[0].State, runs[0].Result.Output)
	if err := s.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: register succeeded refreshed
}

func ExampleRequest_Validate() {
	fmt.Println(webhook.Request{URL: "example.com", Headers: map[string]string{"Authorization": "x"}}.Validate())
	// Output: webhook: invalid request: url must begin with https:// or http://; headers.Authorization holds a secret: use secret_headers
}

// An executor for payloads that users write: they reach two hosts, neither of them inside of our network.
func ExampleNew() {
	secrets := webhook.SecretFunc(func(ctx context.Context, name string) (string, error) {
		if name == "team" {
			return "not a real secret", nil // from a vault
		}
		return webhook.EnvSecrets("HOOK_").Secret(ctx, name)
	})
	executor := webhook.New(
		webhook.WithSecrets(secrets),
		webhook.WithAllowedHosts("hooks.example.com", "ci.example.com:8443"),
		webhook.WithPublicAddressesOnly(),
		webhook.WithMaxRetryAfter(10*time.Minute),
		webhook.WithOutputLimit(4<<10),
	)
	defer executor.CloseIdleConnections()
	fmt.Println(executor.Validate(webhook.Request{URL: "https://hooks.example.com/deploy"}))
	fmt.Println(executor.Validate(webhook.Request{URL: "https://10.0.0.1/admin"}))

	proxied := webhook.New(webhook.WithHTTPClient(&http.Client{Transport: http.DefaultTransport})) // with what the program has
	fmt.Println(proxied.Validate(webhook.Request{URL: "https://hooks.example.com/deploy"}))
	// Output:
	// <nil>
	// webhook: invalid request: url 10.0.0.1 is not among the allowed hosts
	// <nil>
}

// What a form shows of a task that is stored already. A field that does not exist is most likely misspelt, and an error.
func ExampleParsePayload() {
	request, err := webhook.ParsePayload([]byte(`{"url":"https://hooks.example.com/deploy"}`))
	fmt.Println(request.URL, err)
	_, err = webhook.ParsePayload([]byte(`{"uri":"https://hooks.example.com/deploy"}`))
	fmt.Println(errors.Is(err, webhook.ErrInvalidRequest))
	// Output:
	// https://hooks.example.com/deploy <nil>
	// true
}
