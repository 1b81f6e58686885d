package punctual_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever looks something up on a documentation site should find code that uses it, and that the tests have run or at least compiled. So each
// exported function, method, policy and field of a definition occurs in the body of an Example of its package.

// hostPackages are the packages that hosts import.
var hostPackages = []string{
	".", "executor/openai", "executor/river", "executor/webhook", "observe/otel", "punctualtest", "schedule/ics", "schedule/rrule",
	"store/memory", "store/mysql", "store/postgres", "store/sqlite", "store/storetest", "web",
}

// shownFields are the structs of which each exported field has to occur, too: what hosts fill in.
var shownFields = map[string]bool{"Task": true, "Retry": true, "RunQuery": true, "TaskQuery": true, "Config": true}

// shownConstants are the types of which each constant has to occur: what hosts choose from.
var shownConstants = map[string]bool{
	"RegisterPolicy": true, "Overlap": true, "Misfire": true, "Lost": true, "Gap": true, "Fold": true,
}

// exception is a pattern of names, each as package/Type.Method.
type exception struct {
	names   *regexp.Regexp
	because string
}

// unshown are names without an Example in their package, and why.
var unshown = []exception{
	{regexp.MustCompile(`\.(String|Error|Unwrap|(Unm|M)arshal(Text|JSON))$`), "standard methods, which fmt, errors and encoding call"},
	{regexp.MustCompile(`\.(Execute|Kinds|Observe|ObserveStore)$`), "the engine calls them; Examples show who has them"},
	{regexp.MustCompile(`^(schedule/rrule/)?\w*Schedule\.(Next|Prev|Count|Anchor|Interval|Delayed|Location|Explain)$`), "the engine asks a schedule; hosts have Upcoming and Explain"},
	{regexp.MustCompile(`^DateCalendar\.(Stretch|Location)$`), "Except asks a calendar"},
	{regexp.MustCompile(`^store/\w+/Store\.(Claim|Edit|Finish|Reclaim|Beat|EndSession|Held|Instances|Task|Tasks|Run|Runs|Trim|Overdue|Watch|Upcoming|Prepare|ClaimsOverlap)$`), "the contract of stores, which the engine calls"},
	{regexp.MustCompile(`^Scheduler\.WaitSettled$`), "made for harnesses, such as punctualtest"},
	{regexp.MustCompile(`^Change\.`), "for those who write a store; store/storetest uses it"},
	{regexp.MustCompile(`^Register(Schedule|Calendar)$`), "called in an init function, which stands above their Examples"},
	{regexp.MustCompile(`^(Scheduler\.In|Tx\.\w+)$`), "needs a SQL store: see ExampleStore_Tx of each"},
	{regexp.MustCompile(`^(executor|store|web)/?.*WithClock$`), "for tests of these packages; hosts inject their clock into the Scheduler"},
}

// exported lists what a package shows, as Name, Type.Method or Type.Field.
func exported(files []*ast.File) []string {
	var names []string
	for _, file := range files {
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if name := exportedFunc(decl); name != "" {
					names = append(names, name)
				}
			case *ast.GenDecl:
				names = append(names, exportedSpecs(decl)...)
			}
		}
	}
	slices.Sort(names)
	return names
}

func exportedFunc(decl *ast.FuncDecl) string {
	if !decl.Name.IsExported() {
		return ""
	}
	if decl.Recv == nil {
		return decl.Name.Name
	}
	receiver := decl.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if index, ok := receiver.(*ast.IndexExpr); ok {
		receiver = index.X
	}
	name := receiver.(*ast.Ident).Name
	if !ast.IsExported(name) {
		return ""
	}
	return name + "." + decl.Name.Name
}

func exportedSpecs(decl *ast.GenDecl) []string {
	var names []string
	kind := "" // the type of the constants; one without a type of its own has that of the one before
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			fields, isStruct := spec.Type.(*ast.StructType)
			if !isStruct || !shownFields[spec.Name.Name] {
				continue
			}
			for _, field := range fields.Fields.List {
				for _, name := range field.Names {
					if name.IsExported() {
						names = append(names, spec.Name.Name+"."+name.Name)
					}
				}
			}
		case *ast.ValueSpec:
			if decl.Tok != token.CONST {
				continue
			}
			if ident, ok := spec.Type.(*ast.Ident); ok {
				kind = ident.Name
			} else if len(spec.Values) > 0 {
				kind = ""
			}
			for _, name := range spec.Names {
				if shownConstants[kind] && name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// shown collects the identifiers in the bodies of the Examples of a package.
func shown(files []*ast.File) map[string]bool {
	found := make(map[string]bool)
	for _, file := range files {
		for _, decl := range file.Decls {
			example, ok := decl.(*ast.FuncDecl)
			if !ok || example.Recv != nil || !strings.HasPrefix(example.Name.Name, "Example") {
				continue
			}
			ast.Inspect(example.Body, func(n ast.Node) bool {
				if ident, ok := n.(*ast.Ident); ok {
					found[ident.Name] = true
				}
				return true
			})
		}
	}
	return found
}

// parsed reads the files of a package: its own, and those of its tests.
func parsed(t *testing.T, dir string) (own, tests []*ast.File) {
	t.Helper()
	entries, err := fs.ReadDir(os.DirFS("."), dir)
	require.NoError(t, err)
	for _, entry := range entries {
		if path.Ext(entry.Name()) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path.Join(dir, entry.Name()), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		if strings.HasSuffix(entry.Name(), "_test.go") {
			tests = append(tests, file)
		} else {
			own = append(own, file)
		}
	}
	return own, tests
}

func TestEveryExportedFeatureHasAnExample(t *testing.T) {
	used := make([]bool, len(unshown))
	for _, dir := range hostPackages {
		own, tests := parsed(t, dir)
		names, found := exported(own), shown(tests)
		require.NotEmpty(t, names, dir)
		for _, name := range names {
			full := path.Join(dir, name)
			excused := slices.IndexFunc(unshown, func(e exception) bool { return e.names.MatchString(full) })
			switch last := name[strings.LastIndex(name, ".")+1:]; {
			case found[last]:
			case excused >= 0:
				used[excused] = true
			default:
				t.Errorf("no Example of %s has %s in its body", dir, name)
			}
		}
	}
	for i, e := range unshown {
		assert.True(t, used[i], "nothing needs the exception %v any more", e.names)
		assert.NotEmpty(t, e.because, e.names)
	}
}

// Whoever adds a package for hosts adds it to the audit, too.
func TestTheAuditKnowsAllPackagesForHosts(t *testing.T) {
	for _, pattern := range []string{"executor/*", "observe/*", "schedule/*", "store/*", "punctualtest", "web"} {
		dirs, err := fs.Glob(os.DirFS("."), pattern)
		require.NoError(t, err)
		assert.Subset(t, hostPackages, dirs)
	}
}
