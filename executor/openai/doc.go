// Package openai is a Punctual executor that asks an OpenAI-compatible endpoint for a chat completion, or for a response of the Responses API.
//
// The task's payload is a Request as JSON: the model, a prompt or a list of messages, and a few settings. API keys are never
// part of it; a payload names a key and the executor looks it up in a KeySource when the attempt starts.
//
//	keys := openai.EnvKeys("LLM_KEY_")
//	executor := openai.New(openai.WithKeys(keys), openai.WithBaseURL("https://api.openai.com/v1"))
//	scheduler, err := punctual.New(memory.New(), executor)
//	...
//	payload, err := openai.NewPayload(openai.Request{Model: "gpt-4o-mini", Prompt: "Say hello.", APIKeyName: "main"})
//	err = scheduler.Add(ctx, punctual.Task{ID: "hello", Schedule: punctual.Every(time.Hour), Payload: payload,
//		Timeout: 2 * time.Minute, Retry: punctual.Retry{MaxAttempts: 5}})
//
// Only an answer with text makes a run succeed. Everything else fails it with an error that says what came: an HTTP error, an
// error object inside a 200, a page instead of JSON, an answer without choices or without text, a refusal, a connection that
// was cut. What waiting cannot mend is marked with punctual.Permanent; when the endpoint says how long to wait, the error
// carries it as punctual.RetryAfter. errors.As finds an *APIError for what the endpoint itself reported.
//
// An attempt has no time limit of its own besides those for connecting: set Task.Timeout.
//
// Keys appear in no error, result or log, also when the endpoint echoes them.
package openai
