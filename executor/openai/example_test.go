package openai_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

// The Scheduler calls Execute with each run of a task; here it is called by hand.
func ExampleExecutor() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("asked with", r.Header.Get("Idempotency-Key"))
		fmt.Fprint(w, `{"id":"chatcmpl-1","model":"small-1","usage":{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12},
			"choices":[{"message":{"role":"assistant","content":"All quiet."},"finish_reason":"stop"}]}`)
	}))
	defer server.Close()

	executor := openai.New(
		openai.WithBaseURL(server.URL+"/v1"),
		openai.WithKeys(openai.StaticKeys(map[string]string{"main": "not-a-real-key"})),
	)
	defer executor.CloseIdleConnections()

	payload, err := openai.NewPayload(openai.Request{Model: "small", Prompt: "Anything new?", APIKeyName: "main"})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := executor.Execute(context.Background(), punctual.Run{ID: "run-1", Payload: payload})
	fmt.Println(result.Output, err)
	// Output:
	// asked with run-1
	// All quiet. <nil>
}

// Hosts check a form before they store it.
func ExampleRequest_Validate() {
	err := openai.Request{Prompt: "Hello", BaseURL: "api.openai.com/v1", MaxTokens: -1}.Validate()
	var bad *openai.RequestError
	if errors.As(err, &bad) {
		for _, f := range bad.Fields {
			fmt.Printf("%s: %s\n", f.Field, f.Reason)
		}
	}
	// Output:
	// max_tokens: -1 is negative
	// base_url: must begin with https:// or http://
}
