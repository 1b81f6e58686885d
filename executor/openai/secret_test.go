package openai_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/executor/openai"
)

// assertNoKey fails when a reader of the text sees eight characters of the key in a row.
func assertNoKey(t *testing.T, text string) {
	t.Helper()
	text = strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Cf, c) {
			return -1
		}
		return c
	}, text)
	for i := 0; i+8 <= len(testKey); i++ {
		assert.NotContains(t, text, testKey[i:i+8])
	}
}

func TestNoErrorHoldsTheKey(t *testing.T) {
	asJSON := func(message string) string {
		b, err := json.Marshal(map[string]any{"error": map[string]any{"message": message, "code": message, "type": message, "param": message}})
		require.NoError(t, err)
		return string(b)
	}
	masked := testKey[:10] + "********" + testKey[len(testKey)-4:]
	for name, body := range map[string]string{
		"whole":                   asJSON("Incorrect API key provided: " + testKey + "."),
		"header":                  asJSON("Authorization: Bearer " + testKey),
		"masked":                  asJSON("Incorrect API key provided: " + masked + "."),
		"beginning":               asJSON("bad key " + testKey[:14]),
		"end":                     asJSON("bad key ending in " + testKey[len(testKey)-12:]),
		"split by a newline":      asJSON("bad key " + testKey[:20] + "\n" + testKey[20:]),
		"split by a soft hyphen":  asJSON("bad key " + testKey[:6] + "\u00AD" + testKey[6:12] + "\u200B" + testKey[12:]),
		"at the cut":              asJSON(strings.Repeat("a b ", 122) + testKey),
		"at the cut of a page":    strings.Repeat("a b ", 72) + testKey,
		"page":                    "<html><title>" + testKey + "</title></html>",
		"broken":                  `{"authorization":"Bearer ` + testKey + `"`,
		"escaped":                 url.QueryEscape(testKey),
		"not an object":           `"` + testKey + `"`,
		"no choices":              `{"echo":"` + testKey + `"}`,
		"odd type":                `{"choices":[{"message":{"content":` + `{"` + testKey + `":1}` + `}}]}`,
		"refusal":                 `{"choices":[{"message":{"refusal":"no, ` + testKey + `"}}]}`,
		"tool":                    `{"choices":[{"message":{"tool_calls":[{"function":{"name":"` + testKey + `"}}]}}]}`,
		"answer":                  `{"id":"` + testKey + `","model":"` + testKey + `","choices":[{"message":{"content":"It is ` + testKey + `."},"finish_reason":"` + testKey + `"}]}`,
		"among control character": asJSON("\x1b[31m" + testKey + "\x07"),
	} {
		for _, status := range []int{200, 401, 500} {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				result, err := ask(t, reply(status, body, "X-Request-Id", testKey, "Location", "/"+testKey))
				text := result.Output + string(result.Facts)
				if err != nil {
					text += err.Error()
					assert.NotContains(t, err.Error(), "\n")
					assert.NotContains(t, err.Error(), "\x1b")
				}
				assertNoKey(t, text)
				if name == "masked" {
					assert.NotContains(t, text, testKey[len(testKey)-4:])
				}
			})
		}
	}
}

func TestARedirectWithTheKeyInItsPathDoesNotShowIt(t *testing.T) {
	_, err := ask(t, reply(http.StatusFound, "", "Location", "https://other.example/"+testKey+"?k="+testKey))
	require.ErrorContains(t, err, "redirect to https://other.example/")
	assertNoKey(t, err.Error())
}

func TestKeysOfOthersAreHiddenByTheirShape(t *testing.T) {
	for _, secret := range []string{
		"sk-" + "proj-abcdefghijklmnop1234", "sk-" + "ant-api03-abcdefghijkl", "AIza" + "SyA1234567890abcdefg", "gsk_" + "abcdefghij1234567890",
		"hf_" + "abcdefghijklmnopqrst", "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxIn0.abc", "Zx81abCDefGHijKLmnOPqr" + "STuvWXyz0123456789ABCD",
	} {
		_, err := ask(t, reply(400, fmt.Sprintf(`{"error":{"message":"saw %s there"}}`, secret)))
		require.ErrorContains(t, err, "saw [redacted] there", secret)
	}
	for _, c := range [][2]string{
		{"see https://joe:pw1@proxy.example/x", "see https://[redacted]@proxy.example/x"},
		{"GET /v1?key=abc&x=1", "GET /v1?key=[redacted]&x=1"},
		{"x-api-key: abc123def", "x-api-key: [redacted]"},
		{"Authorization: Basic am9lOnB3MQ==", "Basic [redacted]"},
		// Words stay words.
		{"Bearer authentication required", "Bearer authentication required"},
		{"max_tokens: 4096 is too large for this task-based model, please wait...", "max_tokens: 4096 is too large for this task-based model, please wait..."},
		{"API key: missing", "API key: missing"},
	} {
		_, err := ask(t, reply(400, fmt.Sprintf(`{"error":{"message":%q}}`, c[0])))
		require.ErrorContains(t, err, c[1])
	}
}

func TestAShortKeyIsHiddenAsAWordOnly(t *testing.T) {
	for key, want := range map[string]string{"x": "max [redacted] there", "abcd": "max x there"} {
		_, err := ask(t, reply(400, `{"error":"max x there"}`), openai.WithKeys(openai.StaticKeys(map[string]string{"main": key})))
		require.ErrorContains(t, err, want)
	}
	result, err := ask(t, reply(200, goodAnswer), openai.WithKeys(openai.StaticKeys(map[string]string{"main": "morning"})))
	require.NoError(t, err)
	assert.Equal(t, "Good morning.", result.Output)
}

func TestHeadersOfTheExecutorAreSecrets(t *testing.T) {
	_, err := ask(t, reply(400, `{"error":"you sent Api-Key tuvwxyz-azure-1"}`), openai.WithHeader("Api-Key", "tuvwxyz-azure-1"))
	require.ErrorContains(t, err, "you sent Api-Key [redacted]")
}
