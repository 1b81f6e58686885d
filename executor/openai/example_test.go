package openai_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

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

// The same by the Responses API.
func ExampleRequest_responses() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("asked at", r.URL.Path)
		fmt.Fprint(w, `{"id":"resp_1","model":"small-1","status":"completed","usage":{"input_tokens":8,"output_tokens":4,"total_tokens":12},
			"output":[{"type":"message","content":[{"type":"output_text","text":"All quiet."}]}]}`)
	}))
	defer server.Close()
	executor := openai.New(openai.WithBaseURL(server.URL + "/v1"))
	defer executor.CloseIdleConnections()

	payload, err := openai.NewPayload(openai.Request{API: openai.APIResponses, Model: "small", Prompt: "Anything new?"})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := executor.Execute(context.Background(), punctual.Run{ID: "run-1", Payload: payload})
	fmt.Println(result.Output, err)
	// Output:
	// asked at /v1/responses
	// All quiet. <nil>
}

// An executor for payloads that users write: they choose among two hosts and two keys, and what they leave out is set here.
func ExampleNew() {
	keys := openai.KeyFunc(func(ctx context.Context, name string) (string, error) {
		if name == "team" {
			return "not-a-real-key", nil // from a vault
		}
		return openai.EnvKeys("LLM_KEY_").Key(ctx, name)
	})
	executor := openai.New(
		openai.WithBaseURL("https://llm.example.com/v1"),
		openai.WithAllowedHosts("api.openai.com"), // besides our own
		openai.WithKeys(keys),
		openai.WithDefaultKey("team"),
		openai.WithDefaultModel("small-1"),
		openai.WithHeader("X-Department", "research"),
		openai.WithHTTPClient(&http.Client{Transport: http.DefaultTransport}),
		openai.WithMaxRetryAfter(10*time.Minute),
		openai.WithResponseLimit(1<<20),
		openai.WithOutputLimit(16<<10),
	)
	defer executor.CloseIdleConnections()
	fmt.Println(executor.Validate(openai.Request{Prompt: "Anything new?"}))
	fmt.Println(executor.Validate(openai.Request{Prompt: "Anything new?", BaseURL: "https://elsewhere.example.com/v1"}))
	// Output:
	// <nil>
	// openai: invalid request: base_url: elsewhere.example.com is not among the allowed hosts
}

// What a form shows of a task that is stored already. A field that does not exist is most likely misspelt, and an error.
func ExampleParsePayload() {
	request, err := openai.ParsePayload([]byte(`{"model":"small-1","prompt":"Anything new?"}`))
	fmt.Println(request.Model, request.Prompt, err)
	_, err = openai.ParsePayload([]byte(`{"model":"small-1","promt":"Anything new?"}`))
	fmt.Println(errors.Is(err, openai.ErrInvalidRequest))
	// Output:
	// small-1 Anything new? <nil>
	// true
}
