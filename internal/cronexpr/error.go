package cronexpr

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Error tells what is wrong with an expression, where, and what is allowed there. Parse, ParseEvery and Expr.WithHash return it as *Error.
type Error struct {
	Text   string // the expression as it was given
	Field  string // the name of the field, such as "minute" or "time zone"; empty when the fault lies in the whole
	Column int    // where the fault begins in Text, counted in characters from 1
	Reason string // what is wrong and what is allowed
}

// Error returns all parts in one line. A long text is cut.
func (e *Error) Error() string {
	text := e.Text
	if len(text) > 128 {
		cut := 125
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "..."
	}
	where := "column " + strconv.Itoa(e.Column)
	if e.Field != "" {
		where = e.Field + ", " + where
	}
	return fmt.Sprintf("cron expression %q: %s: %s", text, where, e.Reason)
}

// fault makes an Error at a byte offset of text.
func fault(text, field string, offset int, reason string, args ...any) *Error {
	return &Error{
		Text:   text,
		Field:  field,
		Column: utf8.RuneCountInString(text[:min(offset, len(text))]) + 1,
		Reason: fmt.Sprintf(reason, args...),
	}
}
