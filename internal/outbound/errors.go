package outbound

import (
	"context"
	"errors"
	"fmt"
)

// Say is an error with a cleaned text in place of its cause's, which it wraps.
func Say(text string, cause error) error { return &said{text, cause} }

type said struct {
	text  string
	cause error
}

func (e *said) Error() string { return e.text }
func (e *said) Unwrap() error { return e.cause }

// Stopped is the error of a call whose context has ended, or nil when it has not. What says in words which call that was.
func Stopped(ctx context.Context, what string) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%s stopped: %w (%w)", what, cause, err)
	}
	return fmt.Errorf("%s stopped: %w", what, err)
}
