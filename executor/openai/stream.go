package openai

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual/internal/outbound"
)

// ErrNoToken reports a stream whose endpoint was silent for longer than Request.FirstTokenSeconds. Another attempt may do better.
var ErrNoToken = errors.New("openai: no token in time")

// silence ends a call whose endpoint says nothing for too long. It begins with the request, so it also bounds the wait for the headers.
type silence struct {
	clock clock.Clock
	limit time.Duration // zero for none
	end   context.CancelCauseFunc
	timer *clock.Timer
}

// watchSilence returns the context of a call that ends with the cause ErrNoToken when nothing is heard for the limit.
func watchSilence(ctx context.Context, c clock.Clock, limit time.Duration) (context.Context, *silence) {
	ctx, end := context.WithCancelCause(ctx)
	s := &silence{clock: c, limit: limit, end: end}
	s.heard()
	return ctx, s
}

// heard begins the wait anew.
func (s *silence) heard() {
	if s.limit == 0 {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = s.clock.AfterFunc(s.limit, func() {
		s.end(fmt.Errorf("%w: %v without one", ErrNoToken, s.limit))
	})
}

func (s *silence) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.end(context.Canceled)
}

// isStream reports whether a success came as events. An endpoint that knows no streaming answers with one JSON object instead.
func isStream(resp *http.Response) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
}

// assembly puts the events of a stream together to the body that the endpoint would have answered without streaming.
type assembly interface {
	// add takes one event. whole is the answer when the event is or holds it by itself; bad says that the event is not a JSON object.
	add(data []byte, quiet *silence) (whole []byte, bad bool)
	// end is the answer when the stream is over, which it has said or not; nil when it was cut off.
	end(said bool) []byte
}

// pieces is a completion as it comes in, choice 0 only.
type pieces struct {
	ID                          json.RawMessage
	Model                       json.RawMessage
	Usage                       json.RawMessage
	content, reasoning, refusal strings.Builder
	finish                      string
	fault                       json.RawMessage // an error inside the choice
	tools                       []any
	choices                     bool
}

type delta struct {
	Content   string `json:"content"`
	Reasoning string `json:"reasoning_content"`
	Refusal   string `json:"refusal"`
	ToolCalls []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tool_calls"`
}

// readStream reads a stream of events to the body that the endpoint would have answered without streaming. Of an error that comes
// among the events it returns just that.
func (x *exchange) readStream(body io.Reader, limit int64, quiet *silence) ([]byte, error) {
	reader := bufio.NewReader(io.LimitReader(body, limit+1))
	var answer assembly = &pieces{}
	if x.api == APIResponses {
		answer = &items{}
	}
	var total int64
	over := false // the stream has said so; some endpoints leave that out
	for {
		line, err := reader.ReadBytes('\n')
		total += int64(len(line))
		if total > limit {
			return nil, x.bad("more than %d bytes", limit)
		}
		if data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:")); ok {
			data = bytes.TrimSpace(data)
			if string(data) == "[DONE]" {
				over, err = true, io.EOF
			} else if whole, bad := answer.add(data, quiet); bad {
				return nil, x.bad("an event that is not a JSON object: %s", x.quote(data))
			} else if whole != nil {
				return whole, nil
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			if body := answer.end(over); body != nil {
				return body, nil
			}
			return nil, outbound.Say(fmt.Sprintf("%v: %s answered %d and the stream ended after %d bytes, before its end", ErrBadAnswer, x.endpoint.Host, x.facts.Status, total), errors.Join(ErrBadAnswer, io.ErrUnexpectedEOF))
		default:
			return nil, err
		}
	}
}

func (p *pieces) add(data []byte, quiet *silence) (whole []byte, bad bool) {
	members, _ := object(data)
	if members == nil {
		return nil, true
	}
	if _, isError := errorIn(members); isError {
		return data, false
	}
	keep := func(into *json.RawMessage, name string) {
		if v := members[name]; len(v) > 0 && string(v) != "null" {
			*into = v
		}
	}
	keep(&p.ID, "id")
	keep(&p.Model, "model")
	keep(&p.Usage, "usage")
	var choices []map[string]json.RawMessage
	if json.Unmarshal(members["choices"], &choices) != nil || len(choices) == 0 {
		return nil, false
	}
	p.choices = true
	choice := choices[0]
	if _, isError := errorMember(choice["error"]); isError {
		p.fault = choice["error"]
	}
	if finish := stringOf(choice["finish_reason"]); finish != "" {
		p.finish = finish
	}
	var d delta
	_ = json.Unmarshal(choice["delta"], &d)
	p.content.WriteString(d.Content)
	p.reasoning.WriteString(d.Reasoning)
	p.refusal.WriteString(d.Refusal)
	for _, call := range d.ToolCalls {
		if call.Function.Name != "" {
			p.tools = append(p.tools, call)
		}
	}
	if d.Content != "" || d.Reasoning != "" || d.Refusal != "" || len(d.ToolCalls) > 0 {
		quiet.heard()
	}
	return nil, false
}

func (p *pieces) end(said bool) []byte {
	if !said && p.finish == "" {
		return nil
	}
	whole := map[string]any{"choices": []any{}}
	for name, value := range map[string]json.RawMessage{"id": p.ID, "model": p.Model, "usage": p.Usage} {
		if len(value) > 0 {
			whole[name] = value
		}
	}
	if p.choices {
		choice := map[string]any{"finish_reason": p.finish, "message": map[string]any{
			"role": "assistant", "content": p.content.String(), "reasoning_content": p.reasoning.String(), "refusal": p.refusal.String(), "tool_calls": p.tools,
		}}
		if len(p.fault) > 0 {
			choice["error"] = p.fault
		}
		whole["choices"] = []any{choice}
	}
	return mustJSON(whole)
}
