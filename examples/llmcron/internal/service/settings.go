package service

import (
	"fmt"
	"math"

	"github.com/punctual-go/punctual/executor/openai"
)

// Settings are what a task may say about its call besides whom to ask what. Zero values leave the matter to the endpoint or to the server.
type Settings struct {
	API               string   `json:"api,omitempty"` // "chat" or "responses"; in a definition empty for chat
	SystemPrompt      string   `json:"system_prompt,omitempty"`
	MaxTokens         int64    `json:"max_tokens,omitempty"`          // of the answer
	Temperature       *float64 `json:"temperature,omitempty"`         // nil leaves it to the endpoint
	TimeoutSeconds    int64    `json:"timeout_seconds,omitempty"`     // of one attempt
	Stream            bool     `json:"stream,omitempty"`              // ask for the answer piece by piece
	FirstTokenSeconds int64    `json:"first_token_seconds,omitempty"` // how long a stream may be silent
	DailyTokens       int64    `json:"daily_tokens,omitempty"`        // budget of a day
	DailyCost         float64  `json:"daily_cost,omitempty"`          // budget of a day, in the currency of the prices
	PromptPrice       float64  `json:"prompt_price,omitempty"`        // of a million tokens
	CompletionPrice   float64  `json:"completion_price,omitempty"`    // of a million tokens
}

func (s *Settings) merge(in Input) {
	put(&s.API, in.API)
	if s.API == openai.APIChat {
		s.API = "" // what it is when nothing is said
	}
	put(&s.SystemPrompt, in.SystemPrompt)
	put(&s.MaxTokens, in.MaxTokens)
	put(&s.TimeoutSeconds, in.TimeoutSeconds)
	put(&s.Stream, in.Stream)
	put(&s.FirstTokenSeconds, in.FirstTokenSeconds)
	put(&s.DailyTokens, in.DailyTokens)
	put(&s.DailyCost, in.DailyCost)
	put(&s.PromptPrice, in.PromptPrice)
	put(&s.CompletionPrice, in.CompletionPrice)
	if in.Temperature != nil {
		t := *in.Temperature
		s.Temperature = &t
	}
}

func put[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

const (
	maxCount  = 1_000_000_000_000
	maxWait   = 24 * 60 * 60
	maxTokens = 10_000_000
)

func (s *Settings) check(faults map[string]string) {
	if s.API != "" && s.API != openai.APIResponses {
		faults["api"] = fmt.Sprintf("%q is none of chat and responses", s.API)
	}
	whole := func(field string, n, most int64) {
		if n < 0 || n > most {
			faults[field] = fmt.Sprintf("must be between 0 and %d", most)
		}
	}
	whole("max_tokens", s.MaxTokens, maxTokens)
	whole("timeout_seconds", s.TimeoutSeconds, maxWait)
	whole("first_token_seconds", s.FirstTokenSeconds, maxWait)
	whole("daily_tokens", s.DailyTokens, maxCount)
	for field, n := range map[string]float64{"daily_cost": s.DailyCost, "prompt_price": s.PromptPrice, "completion_price": s.CompletionPrice} {
		if !(n >= 0 && n <= maxCount) || math.IsNaN(n) {
			faults[field] = "must be zero or more"
		}
	}
	if s.DailyCost > 0 && s.PromptPrice == 0 && s.CompletionPrice == 0 {
		faults["daily_cost"] = "needs a price of prompt or completion tokens"
	}
	if s.FirstTokenSeconds > 0 && !s.Stream {
		faults["first_token_seconds"] = "needs stream"
	}
	if len(s.SystemPrompt) > maxMessage {
		faults["system_prompt"] = fmt.Sprintf("is %d bytes long, at most %d are allowed", len(s.SystemPrompt), maxMessage)
	}
}
