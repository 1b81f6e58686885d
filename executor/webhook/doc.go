// Package webhook is a Punctual executor that calls a URL.
//
// The task's payload is a Request as JSON: the URL, the method, headers and a body. Secrets are never part of it; a payload names a secret
// and the executor looks it up in a SecretSource when the attempt starts.
//
//	executor := webhook.New(webhook.WithSecrets(webhook.EnvSecrets("HOOK_")))
//	scheduler, err := punctual.New(memory.New(), executor)
//	...
//	payload, err := webhook.NewPayload(webhook.Request{URL: "https://example.com/refresh", SignWith: "refresh"})
//	err = scheduler.Add(ctx, punctual.Task{ID: "refresh", Schedule: punctual.Every(time.Hour), Payload: payload,
//		Timeout: time.Minute, Retry: punctual.Retry{MaxAttempts: 5}})
//
// A status of 2xx makes a run succeed, and the text of the answer is its output. Everything else fails it with an error that says what came;
// errors.As finds a *StatusError. What waiting cannot mend is marked with punctual.Permanent; when the endpoint says how long to wait, the
// error carries it as punctual.RetryAfter.
//
// Every request has the header Idempotency-Key with the id of the run, which stays the same over all attempts, so that the endpoint can
// tell a repeat. With Request.SignWith it is signed by the rules of Standard Webhooks, and Verify checks it on the other side.
//
// An attempt has no time limit of its own besides those for connecting: set Task.Timeout. Secrets appear in no error, result or log,
// also when the endpoint echoes them.
package webhook
