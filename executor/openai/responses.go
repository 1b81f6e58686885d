package openai

import (
	"encoding/json"
	"strings"

	goopenai "github.com/sashabaranov/go-openai"

	"github.com/punctual-go/punctual/internal/outbound"
)

// response is the request in go-openai's terms for the Responses API; patch holds the members of its body that go-openai cannot express.
// The endpoint is asked not to keep the response, since nothing refers to it later.
func (r Request) response() (req goopenai.CreateResponseRequest, patch map[string]json.RawMessage) {
	keep := false
	req = goopenai.CreateResponseRequest{Model: r.Model, Instructions: r.System, MaxOutputTokens: r.MaxTokens, Store: &keep}
	if r.Prompt != "" {
		req.Input = r.Prompt
	} else {
		input := make([]goopenai.ResponseInputMessage, len(r.Messages))
		for i, m := range r.Messages {
			input[i] = goopenai.ResponseInputMessage{Role: m.Role, Content: m.Content}
		}
		req.Input = input
	}
	if r.ReasoningEffort != "" {
		req.Reasoning = &goopenai.ResponseReasoning{Effort: r.ReasoningEffort}
	}
	patch = make(map[string]json.RawMessage, len(r.Extra)+4)
	if r.Stream {
		patch["stream"] = mustJSON(true)
	}
	for name, value := range r.Extra {
		patch[name] = value
	}
	if r.Temperature != nil {
		patch["temperature"] = mustJSON(*r.Temperature)
	}
	if r.TopP != nil {
		patch["top_p"] = mustJSON(*r.TopP)
	}
	if f := r.ResponseFormat; f != nil {
		// The schema's members stand beside the type here, and not within a json_schema.
		format := map[string]json.RawMessage{}
		_ = json.Unmarshal(f.JSONSchema, &format) // Validate has read it
		format["type"] = mustJSON(f.Type)
		patch["text"] = mustJSON(map[string]any{"format": format})
	}
	return req, patch
}

// reduceResponse checks that a success is a response that has ended, and keeps the members that go-openai is to decode.
func (x *exchange) reduceResponse(members map[string]json.RawMessage, body []byte) ([]byte, error) {
	switch status := goopenai.ResponseStatus(stringOf(members["status"])); status {
	case goopenai.ResponseStatusCompleted, "":
		x.facts.FinishReason = "stop"
	case goopenai.ResponseStatusIncomplete:
		var why goopenai.ResponseIncompleteDetails
		_ = json.Unmarshal(members["incomplete_details"], &why)
		switch why.Reason {
		case "max_output_tokens":
			x.facts.FinishReason = "length"
		case "":
			x.facts.FinishReason = string(status)
		default:
			x.facts.FinishReason = x.redact.Line(why.Reason, maxLabel)
		}
	default:
		x.facts.FinishReason = x.redact.Line(string(status), maxLabel)
		return nil, x.bad("a response that has not come to an answer (status %s)", x.facts.FinishReason)
	}
	var output []map[string]json.RawMessage
	if err := json.Unmarshal(members["output"], &output); err != nil {
		if len(members["output"]) == 0 {
			return nil, x.bad("a JSON object without output: %s", x.quote(body))
		}
		return nil, x.bad("an output that is not a list of objects")
	}
	if len(output) == 0 {
		return nil, x.bad("an empty list of outputs")
	}
	kept := []any{}
	for _, item := range output {
		switch kind := stringOf(item["type"]); {
		case kind == "message":
			kept = append(kept, map[string]json.RawMessage{"type": item["type"], "content": item["content"]})
		case kind == "reasoning":
			kept = append(kept, map[string]json.RawMessage{"type": item["type"], "content": item["content"], "summary": item["summary"]})
		case strings.HasSuffix(kind, "_call"):
			name := stringOf(item["name"])
			if name == "" {
				name = kind
			}
			x.toolCalls = append(x.toolCalls, outbound.Clean(name, 64))
		}
	}
	return json.Marshal(map[string]any{"output": kept})
}

// messageOfResponse is the text of all messages of a response.
func messageOfResponse(answer goopenai.CreateResponseResponse) message {
	var refusal, reasoning strings.Builder
	for _, raw := range answer.Output {
		encoded, err := json.Marshal(raw)
		if err != nil {
			continue
		}
		var item goopenai.ResponseOutputItem
		if json.Unmarshal(encoded, &item) != nil {
			continue
		}
		for _, part := range item.Content {
			refusal.WriteString(part.Refusal)
			if item.Type == "reasoning" {
				reasoning.WriteString(part.Text)
			}
		}
		for _, part := range item.Summary {
			reasoning.WriteString(part.Text)
		}
	}
	return message{answer.GetOutputText(), refusal.String(), reasoning.String()}
}

// items is a response as it comes in. The last event of a stream holds it whole; only the output is left out of it by some endpoints.
type items struct{ done []json.RawMessage }

func (i *items) add(data []byte, quiet *silence) (whole []byte, bad bool) {
	members, _ := object(data)
	if members == nil {
		return nil, true
	}
	if _, isError := errorIn(members); isError {
		return data, false
	}
	switch kind := goopenai.ResponseStreamEventType(stringOf(members["type"])); {
	case kind == goopenai.ResponseStreamEventCompleted, kind == goopenai.ResponseStreamEventIncomplete, kind == goopenai.ResponseStreamEventFailed:
		return i.complete(members["response"]), false
	case kind == goopenai.ResponseStreamEventOutputItemDone:
		i.done = append(i.done, members["item"])
	case strings.HasSuffix(string(kind), ".delta") && stringOf(members["delta"]) != "":
		quiet.heard()
	}
	return nil, false
}

// complete is the response of the last event, with the outputs that came before where it has none.
func (i *items) complete(response json.RawMessage) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(response, &members) != nil || members == nil {
		return []byte("{}")
	}
	var output []json.RawMessage
	if _ = json.Unmarshal(members["output"], &output); len(output) > 0 || len(i.done) == 0 {
		return response
	}
	members["output"] = mustJSON(i.done)
	return mustJSON(members)
}

// end is never the answer: a stream without its last event was cut off.
func (i *items) end(bool) []byte { return nil }
