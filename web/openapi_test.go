package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/web"
)

type object = map[string]any

// checker validates answers by the part of JSON Schema that the document uses. A keyword that it does not know is a fault of the document.
type checker struct {
	t        *testing.T
	document object
	used     map[string]bool // names of schemas
}

func (c *checker) resolve(schema object) object {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		found, ok := c.document["components"].(object)["schemas"].(object)[name].(object)
		require.True(c.t, ok, "there is no %s", ref)
		c.used[name] = true
		return found
	}
	return schema
}

// faults says what of value does not follow the schema.
func (c *checker) faults(at string, schema object, value any) []string {
	schema = c.resolve(schema)
	var found []string
	fault := func(format string, args ...any) { found = append(found, at+": "+fmt.Sprintf(format, args...)) }
	for keyword := range schema {
		if !slices.Contains([]string{"type", "properties", "required", "additionalProperties", "items", "enum", "format", "oneOf", "description", "minimum", "maximum", "default"}, keyword) {
			fault("the schema has the unknown keyword %s", keyword)
		}
	}
	if all, ok := schema["oneOf"].([]any); ok {
		fits := 0
		for _, one := range all {
			if len(c.faults(at, one.(object), value)) == 0 {
				fits++
			}
		}
		if fits != 1 {
			fault("fits %d of the alternatives", fits)
		}
	}
	if all, ok := schema["enum"].([]any); ok && !slices.Contains(all, value) {
		fault("%v is none of %v", value, all)
	}
	if kind, ok := schema["type"].(string); ok && kind != kindOf(value) && !(kind == "number" && kindOf(value) == "integer") {
		fault("is of type %s and not %s", kindOf(value), kind)
		return found
	}
	if schema["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(value)); err != nil {
			fault("%v", err)
		}
	}
	switch v := value.(type) {
	case []any:
		for i, item := range v {
			if items, ok := schema["items"].(object); ok {
				found = append(found, c.faults(at+"/"+strconv.Itoa(i), items, item)...)
			}
		}
	case object:
		found = append(found, c.objectFaults(at, schema, v)...)
	}
	return found
}

func (c *checker) objectFaults(at string, schema, v object) []string {
	var found []string
	properties, _ := schema["properties"].(object)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			found = append(found, fmt.Sprintf("%s: lacks %s", at, name))
		}
	}
	for name, member := range v {
		of, known := properties[name].(object)
		switch more := schema["additionalProperties"].(type) {
		case object:
			if !known {
				of, known = more, true
			}
		case bool:
			if !known && !more {
				found = append(found, fmt.Sprintf("%s: has %s, which is not in the document", at, name))
			}
		}
		if known {
			found = append(found, c.faults(at+"/"+name, of, member)...)
		}
	}
	return found
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case object:
		return "object"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
	}
	return "number"
}

func document(t *testing.T, w *world) object {
	t.Helper()
	var doc object
	w.json("api/openapi.json", &doc)
	return doc
}

// conforms checks an answer against what the document says about its operation.
func (c *checker) conforms(method, target string, answer *httptest.ResponseRecorder) {
	c.t.Helper()
	path, _, _ := strings.Cut(target, "?")
	operation, ok := c.document["paths"].(object)["/"+path].(object)[strings.ToLower(method)].(object)
	require.True(c.t, ok, "%s %s is not in the document", method, path)
	response, ok := operation["responses"].(object)[strconv.Itoa(answer.Code)].(object)
	require.True(c.t, ok, "%s %s: the document knows no answer %d: %s", method, target, answer.Code, answer.Body)
	assert.Equal(c.t, "application/json", answer.Header().Get("Content-Type"), target)
	var value any
	require.NoError(c.t, json.Unmarshal(answer.Body.Bytes(), &value), target)
	schema := response["content"].(object)["application/json"].(object)["schema"].(object)
	for _, fault := range c.faults(method+" "+target, schema, value) {
		c.t.Error(fault)
	}
}

func TestAnswersOfTheAPIAreThoseOfTheDocument(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		c := &checker{t: t, document: document(t, w), used: map[string]bool{}}
		get := func(target string, status int) {
			t.Helper()
			answer := w.get(target)
			require.Equal(t, status, answer.Code, "%s: %s", target, answer.Body)
			c.conforms("GET", target, answer)
		}
		post := func(target, body string, status int) {
			t.Helper()
			answer := w.post(target, body)
			require.Equal(t, status, answer.Code, "%s: %s", target, answer.Body)
			c.conforms("POST", target, answer)
		}
		get("api/openapi.json", 200)
		get("api/overview?window=7d", 200)
		get("api/overview?window=9d", 400)
		for _, q := range []string{"", "?limit=2", "?sort=-last&limit=1", "?label=team=news&q=w&kind=http", "?state=failing"} {
			get("api/tasks"+q, 200)
		}
		get("api/tasks?sort=x", 400)
		for _, id := range []string{"works", "fails", "busy", "panics", "noon", "rests"} {
			get("api/task?id="+id, 200)
			for _, run := range w.runs(id) {
				get("api/run?id="+run.ID, 200)
			}
		}
		get("api/task?id=none", 404)
		get("api/run?id=none", 404)
		get("api/runs?limit=3", 200)
		get("api/runs?task=works&state=succeeded&state=failed&since=2000-01-01T00:00:00Z&until=2000-01-01T01:00:00%2B01:00", 200)
		get("api/runs?state=asleep", 400)
		get("api/preview?schedule=daily+09:30+Europe/Berlin&n=3", 200)
		get("api/preview?schedule=every+30m+after+completion", 200)
		get("api/preview?schedule=now+and+then", 422)
		get("api/preview?schedule=every+5m&n=1000", 400)
		get("api/instances", 200)
		get("api/health", 200)
		post("api/task/pause?id=works", "", 200)
		post("api/task/resume?id=works", "", 200)
		post("api/task/run?id=noon", "", 200)
		post("api/task/run?id=none", "", 404)
		post("api/task/reschedule?id=works", `{"schedule": "every 2h", "revision": 1}`, 200)
		post("api/task/reschedule?id=works", `{"schedule": "every 2h", "revision": 1}`, 409)
		post("api/task/reschedule?id=works", `{"schedule": "every 2 weeks of may"}`, 422)
		post("api/task/reschedule?id=works", `{}{}`, 400)
		post("api/task/reschedule?id=works", `{"schedule": "`+strings.Repeat("x", 1<<17)+`"}`, 413)
		post("api/run/retry?id="+w.runs("fails")[0].ID, "", 200)
		post("api/run/cancel?id="+w.runs("works")[1].ID, "", 409)
		for _, run := range w.runs("busy") {
			if !run.State.Final() {
				post("api/run/cancel?id="+run.ID, "", 200)
			}
		}
		w.handler = web.Handler(w.s, web.WithReadOnly())
		post("api/task/pause?id=works", "", 403)
		w.handler = web.Handler(w.s, web.WithAuthorizer(func(*http.Request, web.Access) (string, error) { return "", web.ErrUnauthenticated }))
		get("api/tasks", 401)
		w.handler = lonely(t).handler
		get("api/health", 200)
		get("api/instances", 200)
		get("api/overview", 200)
		w.handler = web.Handler(w.s)
		_ = w.s.Close()
		post("api/task/run?id=noon", "", 503)
		for name := range c.document["components"].(object)["schemas"].(object) {
			if name != "Reschedule" { // what is sent
				assert.True(t, c.used[name], "no answer has shown a %s", name)
			}
		}
	})
}

func TestDocumentAndHandlersHaveTheSameOperations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		doc := document(t, w)
		assert.Equal(t, "3.1.0", doc["openapi"])
		var documented []string
		for path, operations := range doc["paths"].(object) {
			for method, operation := range operations.(object) {
				documented = append(documented, strings.ToUpper(method)+" "+path)
				assert.NotEmpty(t, operation.(object)["operationId"])
				assert.NotEmpty(t, operation.(object)["summary"])
			}
		}
		assert.ElementsMatch(t, web.Operations(), documented)
	})
}

func TestCheckerFindsWhatIsWrong(t *testing.T) {
	c := &checker{t: t, document: object{}, used: map[string]bool{}}
	parse := func(text string) (v any) {
		decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
		require.NoError(t, decoder.Decode(&v))
		return v
	}
	schema := parse(`{"type": "object", "required": ["a"], "additionalProperties": false, "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"enum": ["x"]}}, "c": {"type": "string", "format": "date-time"}}}`).(object)
	for text, want := range map[string]string{
		`{"a": 1, "b": ["x"], "c": "2000-01-01T00:00:00Z"}`: "",
		`{}`: "lacks a", `{"a": 1.5}`: "not integer", `{"a": 1, "d": 1}`: "has d", `{"a": 1, "b": ["y"]}`: "none of", `{"a": 1, "c": "noon"}`: "cannot parse", `[]`: "not object",
	} {
		got := strings.Join(c.faults("answer", schema, parse(text)), "; ")
		if want == "" {
			assert.Empty(t, got)
		} else {
			assert.Contains(t, got, want, text)
		}
	}
}
