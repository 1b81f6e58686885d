package ledger

import "encoding/json"

// KindsText is how a session row keeps the kinds of its instance, as a parameter: a JSON list, or nil where it claims all.
func KindsText(kinds []string) any {
	if kinds == nil {
		return nil
	}
	b, _ := json.Marshal(kinds) // strings always marshal
	return string(b)
}

// KindsOf reads them back. A row without them was written by an instance that claims all, or by a version that does not tell; the same goes
// for a list that cannot be read, since a kind must not be called unhandled for want of knowledge.
func KindsOf(text *string) []string {
	if text == nil {
		return nil
	}
	var kinds []string
	if err := json.Unmarshal([]byte(*text), &kinds); err != nil {
		return nil
	}
	return kinds
}
