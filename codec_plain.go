package punctual

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A claim decodes the definitions of all tasks that it sees for the first time, before it can decide about them. As MarshalJSON writes them
// they are plain: one object without white space, whose values are mostly texts without escapes and whole numbers. What follows reads those in
// a fraction of the time that encoding/json takes, which reads all others.

// plainObject hands each key of a plain object to field, with the text of its value. False means that the object is not plain, or that field says
// so of a value.
func plainObject(text string, field func(key, value string) bool) bool {
	rest, ok := strings.CutPrefix(text, "{")
	for ok && rest != "}" {
		var key, value string
		if rest, ok = strings.CutPrefix(rest, `"`); !ok {
			return false
		}
		if key, rest, ok = strings.Cut(rest, `":`); !ok {
			return false
		}
		end := plainEnd(rest)
		if value, rest = rest[:end], rest[end:]; !field(key, value) {
			return false
		}
		if rest != "}" {
			rest, ok = strings.CutPrefix(rest, ",")
			ok = ok && rest != "}"
		}
	}
	return ok
}

// plainEnd returns where the value ends that a text begins with. Whether it is a value is for others to find out.
func plainEnd(text string) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted:
			if c == '\\' {
				i++
			}
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}'):
			return i
		case c == '}' || c == ']':
			depth--
		}
	}
	return len(text)
}

// plainField reads a field of a definition.
func (j *taskJSON) plainField(key, value string) bool {
	switch key {
	case "id":
		return plainText(value, &j.ID)
	case "name":
		return plainText(value, &j.Name)
	case "kind":
		return plainText(value, &j.Kind)
	case "schedule":
		return plainText(value, &j.Schedule)
	case "payload":
		j.Payload = json.RawMessage(value)
		return json.Valid(j.Payload) && strings.TrimSpace(value) == value
	case "disabled":
		j.Disabled = true
		return value == "true"
	case "on_register":
		return plainWord(value, &j.OnRegister)
	case "first_delay":
		return plainLength(value, &j.FirstDelay)
	case "overlap":
		return plainWord(value, &j.Overlap)
	case "max_active":
		return plainNumber(value, &j.MaxActive)
	case "max_queued":
		return plainNumber(value, &j.MaxQueued)
	case "concurrency_key":
		return plainText(value, &j.Key)
	case "concurrency_limit":
		return plainNumber(value, &j.KeyLimit)
	case "priority":
		return plainNumber(value, &j.Priority)
	case "misfire":
		return plainWord(value, &j.Misfire)
	case "misfire_grace":
		return plainLength(value, &j.MisfireGrace)
	case "misfire_limit":
		return plainNumber(value, &j.MisfireLimit)
	case "retry":
		if j.Retry != nil {
			return false
		}
		j.Retry = new(retryJSON)
		return plainObject(value, j.Retry.plainField)
	case "timeout":
		return plainLength(value, &j.Timeout)
	case "lost":
		return plainWord(value, &j.Lost)
	case "labels":
		if j.Labels != nil {
			return false
		}
		j.Labels = make(map[string]string)
		return plainObject(value, func(key, value string) bool {
			var text string
			if !isPlain(key) || !plainText(value, &text) {
				return false
			}
			j.Labels[key] = text
			return true
		})
	case "trace":
		return plainText(value, &j.Trace)
	case "revision":
		var err error
		j.Revision, err = strconv.ParseInt(value, 10, 64)
		return err == nil && strconv.FormatInt(j.Revision, 10) == value
	}
	return false
}

// plainField reads a field of what a definition says about retries.
func (r *retryJSON) plainField(key, value string) bool {
	switch key {
	case "max_attempts":
		return plainNumber(value, &r.MaxAttempts)
	case "initial":
		return plainLength(value, &r.Initial)
	case "max":
		return plainLength(value, &r.Max)
	case "multiplier":
		return plainFraction(value, &r.Multiplier)
	case "jitter":
		return plainFraction(value, &r.Jitter)
	}
	return false
}

// isPlain reports whether a text stands for itself between quotes.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '\\' || c == '"' {
			return false
		}
	}
	return utf8.ValidString(text)
}

func plainText(value string, to *string) bool {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return false
	}
	*to = value[1 : len(value)-1]
	return isPlain(*to)
}

func plainFraction(value string, to *float64) (ok bool) {
	var err error
	*to, err = strconv.ParseFloat(value, 64)
	return err == nil && json.Valid([]byte(value))
}

func plainNumber(value string, to *int) (ok bool) {
	var err error
	*to, err = strconv.Atoi(value)
	return err == nil && strconv.Itoa(*to) == value
}

func plainLength(value string, to *durationText) bool {
	var text string
	if !plainText(value, &text) {
		return false
	}
	d, err := time.ParseDuration(text)
	*to = durationText(d)
	return err == nil
}

// plainWord reads a policy.
func plainWord(value string, to interface{ UnmarshalText([]byte) error }) bool {
	var text string
	return plainText(value, &text) && to.UnmarshalText([]byte(text)) == nil
}
