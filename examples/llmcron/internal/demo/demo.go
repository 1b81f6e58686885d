// Package demo is an OpenAI-compatible endpoint inside the process, so that a newcomer sees calls without an account.
package demo

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Endpoint answers chat completions and calls of the Responses API on a loopback port.
type Endpoint struct {
	URL    string // base URL, ending in /v1
	server *http.Server
	served chan struct{} // closed when it listens no more
	calls  atomic.Int64
}

// Start begins to listen: at the preferred address, so that tasks that call the endpoint still reach it after a restart, or at any port
// of this machine when that one is taken.
func Start(preferred string) (*Endpoint, error) {
	l, err := net.Listen("tcp", preferred)
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	e := &Endpoint{URL: "http://" + l.Addr().String() + "/v1", served: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", e.complete)
	mux.HandleFunc("POST /v1/responses", e.respond)
	e.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(e.served)
		_ = e.server.Serve(l) // ends with Close
	}()
	return e, nil
}

// Close stops listening. When it returns, the port is free.
func (e *Endpoint) Close() error {
	err := e.server.Close()
	<-e.served
	return err
}

func (e *Endpoint) complete(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Model    string `json:"model"`
		Messages []struct {
			Content string `json:"content"`
		} `json:"messages"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&req); err != nil || len(req.Messages) == 0 {
		http.Error(w, `{"error":{"message":"not a chat completion request","type":"invalid_request_error"}}`, http.StatusBadRequest)
		return
	}
	answer, prompt, completion := e.answer(req.Messages[len(req.Messages)-1].Content)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"id": fmt.Sprintf("chatcmpl-demo-%d", e.calls.Load()), "object": "chat.completion", "created": time.Now().Unix(), "model": req.Model,
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": answer},
		}},
		"usage": map[string]any{"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
	})
}

func (e *Endpoint) respond(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Model string `json:"model"`
		Input string `json:"input"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&req); err != nil || req.Input == "" {
		http.Error(w, `{"error":{"message":"not a request with a text as input","type":"invalid_request_error"}}`, http.StatusBadRequest)
		return
	}
	answer, prompt, completion := e.answer(req.Input)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"id": fmt.Sprintf("resp-demo-%d", e.calls.Load()), "object": "response", "created_at": time.Now().Unix(), "model": req.Model, "status": "completed",
		"output": []any{map[string]any{
			"type": "message", "role": "assistant", "status": "completed", "content": []any{map[string]any{"type": "output_text", "text": answer}},
		}},
		"usage": map[string]any{"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion},
	})
}

// answer makes an answer up and counts words for tokens.
func (e *Endpoint) answer(question string) (text string, prompt, completion int) {
	text = fmt.Sprintf("This is the demo endpoint's answer number %d to: %s", e.calls.Add(1), question)
	return text, len(strings.Fields(question)), len(strings.Fields(text))
}
