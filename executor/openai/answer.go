package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	goopenai "github.com/sashabaranov/go-openai"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// Facts are what Result.Facts holds as JSON.
type Facts struct {
	// Model is the model that answered, or the one asked for when the answer does not say.
	Model string `json:"model,omitempty"`
	// FinishReason is the endpoint's word on why the text ends: "stop", "length" (a token limit), "content_filter", ... What the Responses
	// API reports is said in these words, too.
	FinishReason string `json:"finish_reason,omitempty"`
	// Usage counts tokens; nil when the endpoint did not.
	Usage *Usage `json:"usage,omitempty"`
	// ResponseID is the endpoint's id of the completion, RequestID that of the request (header X-Request-Id).
	ResponseID string `json:"response_id,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	// Endpoint is the host, with its port when that is not the default.
	Endpoint string `json:"endpoint,omitempty"`
	// Status is the HTTP status.
	Status int `json:"status,omitempty"`
	// Cut says that Output does not hold the whole text, because it was longer than the output limit.
	Cut bool `json:"cut"`
}

// Usage counts the tokens of a call.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	// CachedTokens are those of the prompt that the endpoint had in a cache.
	CachedTokens int `json:"cached_tokens,omitempty"`
	// ReasoningTokens are those of the completion that went into hidden reasoning.
	ReasoningTokens int `json:"reasoning_tokens,omitempty"`
}

// usageOf reads a usage with the names of either API.
func usageOf(raw json.RawMessage) *Usage {
	var u goopenai.Usage
	var r goopenai.ResponseUsage
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &u) != nil || json.Unmarshal(raw, &r) != nil {
		return nil
	}
	usage := Usage{
		PromptTokens: max(u.PromptTokens, r.InputTokens), CompletionTokens: max(u.CompletionTokens, r.OutputTokens), TotalTokens: u.TotalTokens,
	}
	if d := u.PromptTokensDetails; d != nil {
		usage.CachedTokens = d.CachedTokens
	}
	if d := r.InputTokensDetails; d != nil {
		usage.CachedTokens = d.CachedTokens
	}
	if d := u.CompletionTokensDetails; d != nil {
		usage.ReasoningTokens = d.ReasoningTokens
	}
	if d := r.OutputTokensDetails; d != nil {
		usage.ReasoningTokens = d.ReasoningTokens
	}
	if usage.TotalTokens == 0 {
		usage.TotalTokens = usage.PromptTokens + usage.CompletionTokens
	}
	if usage == (Usage{}) {
		return nil
	}
	return &usage
}

func (x *exchange) factsJSON() json.RawMessage {
	if x.facts == (Facts{}) {
		return nil
	}
	return mustJSON(x.facts)
}

// message is what the model said, by either API.
type message struct{ text, refusal, reasoning string }

func messageOfCompletion(answer goopenai.ChatCompletionResponse) message {
	m := answer.Choices[0].Message
	return message{textOfMessage(m), m.Refusal, m.ReasoningContent}
}

// judge turns what was said into a result. Only text that the model meant as its answer is a success.
func (x *exchange) judge(m message, limit int) (punctual.Result, error) {
	text := strings.ToValidUTF8(x.redact.Answer(m.text), "\uFFFD")
	err := x.fault(text, m)
	var result punctual.Result
	if mark := x.ending(); err == nil && mark != "" {
		result.Output, x.facts.Cut = bound(text+mark, limit)
	} else {
		result.Output, x.facts.Cut = bound(text, limit)
	}
	if refusal := x.redact.Answer(m.refusal); result.Output == "" && refusal != "" {
		result.Output, x.facts.Cut = bound(refusal, limit)
	}
	result.Facts = x.factsJSON()
	return result, err
}

// fault says why an answer is none, or nil.
func (x *exchange) fault(text string, m message) error {
	host, blank := x.endpoint.Host, strings.TrimSpace(text) == ""
	switch finish := x.facts.FinishReason; {
	case finish == "error":
		return x.bad("a text that the model could not finish (finish_reason error)")
	case !blank:
		return nil
	case m.refusal != "":
		return punctual.Permanent(fmt.Errorf("%w to answer: %s: %s", ErrRefused, host, x.redact.Line(m.refusal, maxMessage)))
	case finish == "content_filter":
		return punctual.Permanent(fmt.Errorf("%w to answer: %s: the content filter left no text (finish_reason content_filter)", ErrRefused, host))
	case finish == "length":
		return punctual.Permanent(x.bad("no text: the token limit was used up before it began (finish_reason length)%s: raise max_tokens", x.spent()))
	case len(x.toolCalls) > 0:
		return x.bad("no text but a call of the tool %s, and no tools were offered", strings.Join(x.toolCalls[:min(len(x.toolCalls), 5)], ", "))
	case strings.TrimSpace(m.reasoning) != "":
		return x.bad("reasoning but no text%s", x.reason())
	}
	return x.bad("an empty text%s", x.reason())
}

func (x *exchange) reason() string {
	if x.facts.FinishReason == "" {
		return ""
	}
	return fmt.Sprintf(" (finish_reason %s)", x.facts.FinishReason)
}

func (x *exchange) spent() string {
	if x.facts.Usage == nil || x.facts.Usage.ReasoningTokens == 0 {
		return ""
	}
	return fmt.Sprintf(", %d tokens of it by reasoning", x.facts.Usage.ReasoningTokens)
}

// ending is a visible mark for a text that the endpoint did not let end by itself.
func (x *exchange) ending() string {
	switch x.facts.FinishReason {
	case "length":
		return "\n[ended at the token limit]"
	case "content_filter":
		return "\n[ended by the content filter]"
	}
	return ""
}

// textOfMessage is the content, whether it came as a text or in parts.
func textOfMessage(m goopenai.ChatCompletionMessage) string {
	if len(m.MultiContent) == 0 {
		return m.Content
	}
	var b strings.Builder
	for _, part := range m.MultiContent {
		b.WriteString(part.Text)
	}
	return b.String()
}

func bound(s string, limit int) (string, bool) {
	return outbound.Bound(s, limit, fmt.Sprintf("\n[cut, %d bytes in all]", len(s)))
}
