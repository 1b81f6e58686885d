package outbound

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	redacted = "[redacted]"
	// window is how many bytes of a key in a row may not be seen in a text.
	window = 8
	// maxScanned bounds the work on one text.
	maxScanned = 16 << 10
	// minExact is from which length a key is taken out of an answer: a shorter one, such as "test", is a word.
	minExact = 12
)

// Redactor cleans texts from outside for the ledger. It knows the secrets of one attempt; patterns catch those of others.
type Redactor struct{ secrets []string }

// NewRedactor returns a Redactor that knows these secrets. Empty ones are left out.
func NewRedactor(secrets ...string) Redactor {
	var r Redactor
	for _, s := range secrets {
		if s == "" {
			continue
		}
		r.secrets = append(r.secrets, s)
		if len(s) < window {
			continue
		}
		for _, form := range formsOf(s) {
			if !slices.Contains(r.secrets, form) {
				r.secrets = append(r.secrets, form)
			}
		}
	}
	return r
}

// formsOf are other ways to write a secret that whoever has it may read it from: escaped, in hexadecimal, and in base64, where it may stand
// behind something else, such as a user and a colon.
func formsOf(s string) []string {
	forms := []string{url.QueryEscape(s), url.PathEscape(s), hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
	for _, html := range []bool{true, false} {
		var b strings.Builder
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(html)
		if encoder.Encode(s) == nil {
			forms = append(forms, strings.Trim(b.String(), "\"\n"))
		}
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString(append(make([]byte, before), s...))
			// The characters at both ends that also depend on what stands beside.
			begin, end := []int{0, 2, 3}[before], len(text)
			if (before+len(s))%3 != 0 {
				end--
			}
			forms = append(forms, text[begin:end])
		}
	}
	return forms
}

// Clean is a text without anything that looks like a key, when the keys themselves are not known.
func Clean(s string, limit int) string { return Redactor{}.Line(s, limit) }

// Line returns s as one line of at most limit bytes (plus the mark of a cut) of valid UTF-8, without control and invisible
// characters, without the secrets and parts of them, and without what looks like a key.
func (r Redactor) Line(s string, limit int) string {
	s = oneLine(s)
	for _, secret := range r.secrets {
		s = hideSecret(s, secret)
	}
	return clip(hidePatterns(s), limit)
}

// Answer takes whole secrets out of the text of an answer, which is otherwise left as it is.
func (r Redactor) Answer(s string) string {
	for _, secret := range r.secrets {
		if len(secret) >= minExact {
			s = strings.ReplaceAll(s, secret, redacted)
		}
	}
	return s
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// oneLine also removes invisible characters, so that none of them splits a key into parts that nobody recognises.
func oneLine(s string) string {
	if len(s) > maxScanned {
		s = s[:maxScanned]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, c := range s {
		switch {
		case unicode.Is(unicode.Cf, c):
			continue
		case unicode.IsControl(c) || unicode.IsSpace(c):
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(c)
	}
	return b.String()
}

// hideSecret replaces the secret, every part of it of at least window bytes, and masked forms such as "abc***xyz".
func hideSecret(s, secret string) string {
	switch {
	case len(secret) < 4:
		return hideWord(s, secret)
	case len(secret) < window:
		return strings.ReplaceAll(s, secret, redacted)
	}
	parts := make(map[string]bool, len(secret))
	for i := 0; i+window <= len(secret); i++ {
		parts[secret[i:i+window]] = true
	}
	var b strings.Builder
	end := 0 // up to here s is copied or hidden
	for i := 0; i+window <= len(s); i++ {
		if !parts[s[i:i+window]] {
			continue
		}
		if i > end || end == 0 {
			b.WriteString(s[end:max(i, end)])
			b.WriteString(redacted)
		}
		end = max(end, i+window)
	}
	b.WriteString(s[end:])
	return masked.ReplaceAllStringFunc(b.String(), func(m string) string {
		at := maskRun.FindStringIndex(m)
		head, tail := m[:at[0]], m[at[1]:]
		if len(head) >= 3 && strings.HasPrefix(secret, head) || len(tail) >= 3 && strings.HasSuffix(secret, tail) {
			return redacted
		}
		return m
	})
}

// hideWord replaces a very short secret only where it stands alone; within words it would be chance.
func hideWord(s, secret string) string {
	isWord := func(c byte) bool {
		return c == '_' || c >= utf8.RuneSelf || unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c))
	}
	var b strings.Builder
	for {
		i := strings.Index(s, secret)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		after := i + len(secret)
		b.WriteString(s[:i])
		if (i > 0 && isWord(s[i-1])) || (after < len(s) && isWord(s[after])) {
			b.WriteString(secret)
		} else {
			b.WriteString(redacted)
		}
		s = s[after:]
	}
}

var (
	maskRun = regexp.MustCompile(`\*{2,}|\.{3,}|…+|•{2,}`)
	masked  = regexp.MustCompile(`[\w-]*(?:\*{2,}|\.{3,}|…+|•{2,})[\w-]*`)

	// Prefixes by which providers mark their keys: OpenAI and its many followers, Google, Groq, xAI, GitHub, Hugging Face,
	// NVIDIA, Perplexity, Replicate, AWS, and JSON web tokens.
	keyShapes = regexp.MustCompile(`\b(?:` +
		`sk-[\w\-*.…•]{6,}` +
		`|AIza[\w-]{10,}` +
		`|(?:gsk|ghp|gho|ghs|github_pat|hf|r8)_\w{10,}` +
		`|(?:xai|pplx|nvapi|fw)-[\w-]{10,}` +
		`|AKIA[A-Z0-9]{12,}` +
		`|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?` +
		`)`)
	userInfo   = regexp.MustCompile(`://[^/\s@"'<>]+@`)
	labelled   = regexp.MustCompile(`(?i)\b((?:x-)?api[-_ ]?key|authorization|access[-_]?token|auth[-_]?token|client[-_]?secret|secret|password|subscription-key)(["']?\s*[:=]\s*["']?)([^\s"',;&<>]{6,})`)
	schemed    = regexp.MustCompile(`(?i)\b(bearer|basic)(\s+)([\w.~+/=\-*]{6,})`)
	inQuery    = regexp.MustCompile(`(?i)([?&](?:key|api[-_]?key|token|access_token|sig|signature|secret|password)=)[^&\s"'<>]+`)
	longRandom = regexp.MustCompile(`\b[A-Za-z0-9_-]{40,}\b`)
)

func hidePatterns(s string) string {
	s = keyShapes.ReplaceAllString(s, redacted)
	s = userInfo.ReplaceAllString(s, "://"+redacted+"@")
	s = inQuery.ReplaceAllString(s, "${1}"+redacted)
	for _, re := range []*regexp.Regexp{schemed, labelled} {
		s = re.ReplaceAllStringFunc(s, func(m string) string {
			part := re.FindStringSubmatch(m)
			if !isValue(part[3]) {
				return m
			}
			return part[1] + part[2] + redacted
		})
	}
	return longRandom.ReplaceAllStringFunc(s, func(m string) string {
		if isMixed(m) {
			return redacted
		}
		return m
	})
}

// isValue tells a credential from the word of a sentence such as "basic authentication".
func isValue(s string) bool {
	return len(s) >= 24 || strings.ContainsAny(s, "0123456789*")
}

// isMixed tells a random token from a long identifier.
func isMixed(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ToLower(s) != s && strings.ToUpper(s) != s
}

// LooksLikeKey reports whether a name is more likely a key by itself. A prefix with a UUID is a name.
func LooksLikeKey(s string) bool {
	return keyShapes.MatchString(s) ||
		longRandom.MatchString(s) && (isMixed(s) || strings.ContainsAny(s, "0123456789") && !strings.ContainsAny(s, "-_"))
}

// secretNames are names of members that hold credentials, in lower case and without separators.
var secretNames = map[string]bool{
	"key": true, "apikey": true, "apisecret": true, "xapikey": true, "openaiapikey": true, "openaikey": true, "authorization": true, "auth": true,
	"bearer": true, "bearertoken": true, "token": true, "apitoken": true, "authtoken": true, "accesstoken": true, "accesskey": true, "secret": true,
	"secretkey": true, "clientsecret": true, "password": true, "passwd": true, "credentials": true, "subscriptionkey": true, "signature": true, "sig": true,
}

var dropSeparators = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")

// IsSecretName reports whether a member, parameter or header of this name holds a credential.
func IsSecretName(name string) bool {
	return secretNames[strings.ToLower(dropSeparators.Replace(name))]
}

// Bound cuts a text to at most limit bytes, the mark that it then ends with included, at a rune boundary.
func Bound(s string, limit int, mark string) (string, bool) {
	if len(s) <= limit {
		return s, false
	}
	n := max(limit-len(mark), 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark, true
}
