package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// literal is the text of a string constant, also of several that are added; empty for anything else.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value)
			return text
		}
	case *ast.BinaryExpr:
		a, b := literal(e.X), literal(e.Y)
		if e.Op == token.ADD && a != "" && b != "" {
			return a + b
		}
	}
	return ""
}

// made is the text that an expression makes an error or a reason of: a literal, or the format of Sprintf, Errorf or errors.New.
func made(e ast.Expr) string {
	if text := literal(e); text != "" {
		return text
	}
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	if f, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Sprintf", "Errorf", "New"}, f.Sel.Name) {
		return literal(call.Args[0])
	}
	return ""
}

// reasonsIn collects from source files the reasons that find picks out of a node.
func reasonsIn(t *testing.T, pattern string, find func(ast.Node) string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			if text := find(n); text != "" && strings.Trim(text, "%svq: ") != "" {
				found = append(found, text)
			}
			return true
		})
	}
	require.NotEmpty(t, found, pattern)
	return found
}

// argument picks the given argument of calls of functions or methods with this name.
func argument(name string, at int) func(ast.Node) string {
	return func(n ast.Node) string {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) <= at {
			return ""
		}
		switch f := call.Fun.(type) {
		case *ast.SelectorExpr:
			if f.Sel.Name == name {
				return literal(call.Args[at])
			}
		case *ast.Ident:
			if f.Name == name {
				return literal(call.Args[at])
			}
		}
		return ""
	}
}

// returned picks what the named functions return as a reason or an error.
func returned(names ...string) func(ast.Node) string {
	var inside bool
	return func(n ast.Node) string {
		switch n := n.(type) {
		case *ast.FuncDecl:
			inside = slices.Contains(names, n.Name.Name)
		case *ast.ReturnStmt:
			if inside && len(n.Results) > 0 {
				return made(n.Results[len(n.Results)-1])
			}
		}
		return ""
	}
}

// assigned picks what is put into the map of faults.
func assigned(n ast.Node) string {
	a, ok := n.(*ast.AssignStmt)
	if !ok || len(a.Lhs) != 1 {
		return ""
	}
	if index, ok := a.Lhs[0].(*ast.IndexExpr); ok {
		if name, ok := index.X.(*ast.Ident); ok && name.Name == "faults" {
			return made(a.Rhs[0])
		}
	}
	return ""
}

// TestEveryReasonIsInChinese reads from the sources each reason that a form can show: of llmcron itself, of the request to an endpoint, of cron
// expressions and of the scheduler's own checks.
func TestEveryReasonIsInChinese(t *testing.T) {
	const root = "../../../../"
	var all []string
	all = append(all, reasonsIn(t, "../service/*.go", assigned)...)
	all = append(all, reasonsIn(t, "*.go", assigned)...)
	all = append(all, reasonsIn(t, root+"executor/openai/*.go", argument("add", 1))...)
	all = append(all, reasonsIn(t, root+"executor/openai/*.go", returned("parseEndpoint"))...)
	all = append(all, reasonsIn(t, root+"internal/outbound/*.go", returned("ParseURL"))...)
	all = append(all, reasonsIn(t, root+"internal/cronexpr/parse.go", argument("fault", 3))...)
	all = append(all, reasonsIn(t, root+"internal/cronexpr/field.go", argument("fault", 1))...)
	all = append(all, reasonsIn(t, root+"task_validate.go", returned("textFault"))...)
	all = append(all, reasonsIn(t, root+"task_validate.go", argument("add", 1))...)
	for _, err := range []error{
		goopenai.ErrReasoningModelLimitationsOther, goopenai.ErrReasoningModelLimitationsLogprobs, goopenai.ErrReasoningEffortUnsupported,
		goopenai.ErrReasoningSamplingUnsupported, goopenai.ErrReasoningToolsRequireResponses,
	} {
		all = append(all, err.Error())
	}
	all = append(all, "has a host of more than %d bytes", "is longer than %d bytes") // put together from parts; see the test below
	slices.Sort(all)
	all = slices.Compact(all)
	require.Greater(t, len(all), 60)
	for _, text := range all {
		translated, ok := reasons[text]
		if assert.True(t, ok, "no translation of %q", text) {
			assert.Regexp(t, `\p{Han}`, translated, text)
			assert.Equal(t, verbs.FindAllString(text, -1), verbs.FindAllString(translated, -1), "%q: the same values in the same order", text)
		}
	}
	for text := range reasons {
		assert.Contains(t, all, text, "nothing says this any more")
	}
}

func TestReasonsAreChineseWithTheirValues(t *testing.T) {
	for text, want := range map[string]string{
		"is needed": "必填",
		`"25:00" is not a time between 00:00 and 23:59`:                                        `"25:00" 不是 00:00 到 23:59 之间的时间`,
		"is 300 bytes long, at most 200 are allowed":                                           "长度为 300 字节，最多允许 200 字节",
		`cron expression "61 * * * *": minute, column 1: 61 is out of range; allowed are 0-59`: `cron 表达式 "61 * * * *"，分钟，第 1 列：61 超出范围；可以是 0-59`,
		`cron expression "x": column 2: it has 1 fields; allowed are 5 (minute, hour, day of month, month, day of week), 6 (with the second before them) and 7 (also with the year behind them)`: `cron 表达式 "x"，第 2 列：有 1 个字段；可以是 5 个（分钟、小时、日、月、星期）、6 个（前面加秒）或 7 个（后面再加年）`,
		"something new": "something new",
	} {
		assert.Equal(t, want, reason(chinese, text))
		assert.Equal(t, text, reason(english, text))
	}
}
