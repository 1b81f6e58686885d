package openai_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

func TestEachWrongFieldIsNamed(t *testing.T) {
	hot, nan, schema := 2.1, math.NaN(), json.RawMessage(`{"name":"x","schema":{}}`)
	for field, change := range map[string]func(*openai.Request){
		"model":               func(r *openai.Request) { r.Model = "a\nb" },
		"prompt":              func(r *openai.Request) { r.Prompt = "  " },
		"messages[0].role":    func(r *openai.Request) { r.Prompt, r.Messages = "", []openai.Message{{Role: "tool", Content: "x"}} },
		"messages[0].content": func(r *openai.Request) { r.Prompt, r.Messages = "", []openai.Message{{Role: "user"}} },
		"temperature":         func(r *openai.Request) { r.Temperature = &hot },
		"top_p":               func(r *openai.Request) { r.TopP = &nan },
		"max_tokens":          func(r *openai.Request) { r.MaxTokens = -1 },
		"stop[0]":             func(r *openai.Request) { r.Stop = []string{""} },
		"response_format":     func(r *openai.Request) { r.ResponseFormat = &openai.ResponseFormat{Type: "xml"} },
		"response_format.json_schema": func(r *openai.Request) {
			r.ResponseFormat = &openai.ResponseFormat{Type: "json_schema", JSONSchema: json.RawMessage(`{`)}
		},
		"base_url":           func(r *openai.Request) { r.BaseURL = "ftp://host" },
		"api_key_name":       func(r *openai.Request) { r.APIKeyName = "a b" },
		"extra.stream":       func(r *openai.Request) { r.Extra = map[string]json.RawMessage{"stream": json.RawMessage(`true`)} },
		"extra.top_k":        func(r *openai.Request) { r.Extra = map[string]json.RawMessage{"top_k": json.RawMessage(`{`)} },
		"extra.a[0].Api-Key": func(r *openai.Request) { r.Extra = map[string]json.RawMessage{"a": json.RawMessage(`[{"Api-Key":1}]`)} },
	} {
		t.Run(field, func(t *testing.T) {
			r := hello()
			change(&r)
			err := r.Validate()
			var bad *openai.RequestError
			require.ErrorAs(t, err, &bad)
			require.ErrorIs(t, err, openai.ErrInvalidRequest)
			require.Len(t, bad.Fields, 1)
			assert.Equal(t, field, bad.Fields[0].Field)
			_, err = openai.NewPayload(r)
			require.Error(t, err)
		})
	}
	r := openai.Request{
		Prompt: "x", Messages: []openai.Message{{Role: "user", Content: "y"}}, MaxTokens: -1,
		ResponseFormat: &openai.ResponseFormat{Type: "text", JSONSchema: schema},
	}
	var bad *openai.RequestError
	require.ErrorAs(t, r.Validate(), &bad)
	assert.Len(t, bad.Fields, 3, "all at once")
}

func TestSettingsThatAModelRefusesAreFoundEarly(t *testing.T) {
	cold := 0.0
	r := openai.Request{Model: "gpt-5-mini", Prompt: "x", MaxTokens: 10}
	require.NoError(t, r.Validate(), "max_tokens is translated")
	r.Temperature = &cold
	require.ErrorContains(t, r.Validate(), "temperature")
}

func TestTheExecutorChecksWhatDependsOnIt(t *testing.T) {
	r := openai.Request{Prompt: "x"}
	require.NoError(t, r.Validate())
	require.ErrorContains(t, openai.New().Validate(r), "model: is required")
	require.NoError(t, openai.New(openai.WithDefaultModel("m")).Validate(r))
	require.ErrorContains(t, openai.New(openai.WithDefaultModel("m"), openai.WithBaseURL("nonsense")).Validate(r), "base_url: the executor's own must begin with")
	r.BaseURL = "http://localhost:11434/v1"
	require.NoError(t, openai.New(openai.WithDefaultModel("m"), openai.WithBaseURL("nonsense")).Validate(r))
	r.APIKeyName = "main"
	require.ErrorContains(t, openai.New(openai.WithDefaultModel("m")).Validate(r), "no KeySource")
}

func TestTheDefaultModelIsUsed(t *testing.T) {
	ep := serve(t, reply(200, `{"choices":[{"message":{"content":"x"}}]}`))
	result, err := executorFor(t, ep.URL, openai.WithDefaultModel("local-1")).Execute(context.Background(), runOf(t, openai.Request{Prompt: "x"}))
	require.NoError(t, err)
	assert.Equal(t, "local-1", ep.body["model"])
	assert.Equal(t, "local-1", factsOf(t, result).Model)
}

func TestAPayloadSurvivesTheRoundTrip(t *testing.T) {
	warm, seed := 0.25, 0
	for _, r := range []openai.Request{
		hello(),
		{
			Model: "m", System: "s", Messages: []openai.Message{{Role: "user", Content: "c"}}, Temperature: &warm, TopP: &warm, MaxTokens: 5,
			Stop: []string{"a"}, Seed: &seed, ReasoningEffort: "high", ResponseFormat: &openai.ResponseFormat{Type: "json_object"},
			BaseURL: "https://host/v1", APIKeyName: "main", Extra: map[string]json.RawMessage{"top_k": json.RawMessage(`1`)},
		},
		{Prompt: "p", ResponseFormat: &openai.ResponseFormat{Type: "json_schema", JSONSchema: json.RawMessage(`{"name":"n","schema":{"a":[1]}}`)}},
	} {
		payload, err := openai.NewPayload(r)
		require.NoError(t, err)
		back, err := openai.ParsePayload(payload)
		require.NoError(t, err)
		assert.Equal(t, r, back)
	}
}

func TestBothFormsOfAResponseFormatAreRead(t *testing.T) {
	for _, text := range []string{`"json_object"`, `{"type":"json_object"}`, ` { "type" : "json_object" } `} {
		r, err := openai.ParsePayload(json.RawMessage(`{"prompt":"x","response_format":` + text + `}`))
		require.NoError(t, err)
		assert.Equal(t, &openai.ResponseFormat{Type: "json_object"}, r.ResponseFormat)
	}
}

func TestAPayloadWithAKeyIsRefusedWithoutEchoingIt(t *testing.T) {
	for _, payload := range []string{
		`{"model":"m","prompt":"x","api_key":"KEY"}`,
		`{"model":"m","prompt":"x","API-Key":"KEY"}`,
		`{"model":"m","prompt":"x","apiKey":{"value":"KEY"}}`,
		`{"model":"m","prompt":"x","authorization":"Bearer KEY"}`,
		`{"model":"m","prompt":"x","headers":{"Authorization":"Bearer KEY"}}`,
		`{"model":"m","prompt":"x","token":"KEY"}`,
		`{"model":"m","prompt":"x","extra":{"providers":[{"api_key":"KEY"}]}}`,
		`{"model":"m","prompt":"x","api_key_name":"KEY"}`,
		`{"model":"m","prompt":"x","base_url":"https://user:KEY@host/v1"}`,
		`{"model":"m","prompt":"x","base_url":"https://KEY@host/v1"}`,
		`{"model":"m","prompt":"x","base_url":"https://host/v1?api_key=KEY"}`,
		`{"model":"m","prompt":"x","base_url":"https://host/v1?KEY=%zz"}`,
		`{"model":"m","prompt":"x","base_url":"https://host:KEY/v1"}`,
		`{"model":"m","prompt":"x","KEY":1}`,
		`{"model":"m","prompt":"x","response_format":"KEY"}`,
		`{"model":"m","messages":[{"role":"KEY","content":"x"}]}`,
		`{"model":"m","messages":[{"role":"user","content":"x","api_key":"KEY"}]}`,
	} {
		t.Run(payload, func(t *testing.T) {
			ep := serve(t, reply(200, goodAnswer))
			run := punctual.Run{ID: "r", Payload: json.RawMessage(strings.ReplaceAll(payload, "KEY", testKey))}
			result, err := executorFor(t, ep.URL).Execute(context.Background(), run)
			require.ErrorIs(t, err, openai.ErrInvalidRequest)
			assert.True(t, punctual.IsPermanent(err))
			assertNoKey(t, err.Error())
			if strings.Contains(strings.ToLower(payload), `"api_key"`) || strings.Contains(payload, "uthorization") {
				assert.ErrorContains(t, err, "name one with api_key_name")
			}
			assert.Empty(t, result)
			assert.Zero(t, ep.calls)
		})
	}
}

func TestNamesInSchemasAndTextsAreFree(t *testing.T) {
	_, err := openai.ParsePayload(json.RawMessage(`{"prompt":"my password: hunter2",
		"response_format":{"type":"json_schema","json_schema":{"name":"login","schema":{"type":"object","properties":{"password":{"type":"string"},"token":{}}}}}}`))
	require.NoError(t, err)
}

func TestAPayloadThatIsNoRequestIsRefused(t *testing.T) {
	for payload, text := range map[string]string{
		``:                  "has no payload",
		`null`:              "is not a JSON object",
		`[]`:                "is not a JSON object",
		`"hi"`:              "is not a JSON object",
		`{"prompt":"x"} {}`: "is not a JSON object",
		`{"extra":{"max_completion_tokens":1},"max_tokens":1,"prompt":"x"}`: "extra.max_completion_tokens: give either",
		`{"prompt":"x","max_token":5}`:                                      `unknown field "max_token"`,
		`{"prompt":5}`:                                                      "cannot unmarshal number",
		`{"prompt":"x","extra":{"n":2}}`:                                    "extra.n: cannot be set here",
		`{}`:                                                                "prompt: is empty",
		`{"prompt":"x","temperature":"1"}`:                                  "cannot unmarshal string",
	} {
		_, err := executorFor(t, "http://127.0.0.1:1").Execute(context.Background(), punctual.Run{Payload: json.RawMessage(payload)})
		require.ErrorContains(t, err, text, payload)
		require.ErrorIs(t, err, openai.ErrInvalidRequest)
		assert.True(t, punctual.IsPermanent(err))
	}
}

func TestNamesOfKeysAreToldFromKeys(t *testing.T) {
	for name, ok := range map[string]bool{
		"main": true, "team-a/openai.2": true, "task:7": true, "task-0194f1d2-7b1c-7a3e-9f00-1234567890ab": true, "skeleton": true,
		"a b": false, "a\n": false, "größe": false, strings.Repeat("a", 256): false, testKey: false,
		strings.Repeat("0a", 32): false, "Zx81abCDefGHijKLmnOPqr" + "STuvWXyz0123456789ABCD": false,
	} {
		r := hello()
		r.APIKeyName = name
		err := r.Validate()
		assert.Equal(t, ok, err == nil, name)
		if err != nil {
			assert.NotContains(t, err.Error(), name)
		}
	}
}
