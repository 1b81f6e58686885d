package punctual_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/internal/lint"
)

// The layers of the repository, as a test: who may import whom, with the reason. A package that no row covers fails the test, so
// whoever adds a layer has to say where it stands.

// arrow is the row of a directory and of all below it that have no row of their own. The standard library and the row's own
// packages are always allowed.
type arrow struct {
	from    string   // directory from the root
	to      []string // rows whose packages it may import; "*" for all
	uses    []string // modules from elsewhere that it may import; "*" for all
	because string   // why nothing else
}

const (
	clockModule   = "github.com/benbjohnson/clock"
	testifyModule = "github.com/stretchr/testify"
	goleakModule  = "go.uber.org/goleak"
	openaiModule  = "github.com/sashabaranov/go-openai"
	sqliteModule  = "modernc.org/sqlite"
	pgxModule     = "github.com/jackc/pgx/v5"
	otelModule    = "go.opentelemetry.io/otel"
	mysqlModule   = "github.com/go-sql-driver/mysql"
	rruleModule   = "github.com/teambition/rrule-go"
	icalModule    = "github.com/arran4/golang-ical"
	riverModule   = "github.com/riverqueue/river"
)

var arrows = []arrow{
	{
		from: ".", to: []string{"internal/cronexpr"}, uses: []string{clockModule},
		because: "the scheduler owns the interfaces that stores and executors implement; importing one of them would force it on every host",
	},
	{
		from: "internal/cronexpr", because: "calendar arithmetic is pure: text and times in, times out",
	},
	{
		from: "internal/ledger", to: []string{"."},
		because: "what the contract says about rows is pure: values in, values out, whatever database the rows come from",
	},
	{
		from:    "internal/outbound",
		because: "it serves every executor that calls somebody over HTTP, so it knows neither tasks nor the endpoint's language",
	},
	{
		from: "internal/lint", because: "it checks the others, so it depends on none of them",
	},
	{
		from: "internal/audit", to: []string{"."},
		because: "it compares rows with schedules: values in, findings out, whatever carried the runs out",
	},
	{
		from: "internal/sim", to: []string{".", "internal/audit", "internal/foresight", "store/memory", "store/sqlite"}, uses: []string{clockModule},
		because: "it judges the engine by what happened, so it takes the parts that a host takes and no others",
	},
	{
		from: "internal/faults", to: []string{".", "store/postgres", "store/mysql", "store/sqlite"}, uses: []string{pgxModule},
		because: "its tests run whole processes; here stands only how one of them finds its store",
	},
	{
		from: "internal/model", to: []string{"."},
		because: "it says once more what the engine should do, so it takes the engine's words and none of its code",
	},
	{
		from: "internal/foresight", to: []string{".", "store/memory"}, uses: []string{clockModule},
		because: "it is for tests of the engine and of the suite, which must not need a database",
	},
	{
		from: "store/memory", to: []string{"."}, uses: []string{clockModule},
		because: "a store knows the contract only: no other store, no executor, no policy",
	},
	{
		from: "store/postgres", to: []string{".", "internal/ledger"}, uses: []string{clockModule, pgxModule},
		because: "a store knows the contract and its driver only: no other store, no executor, no policy",
	},
	{
		from: "store/sqlite", to: []string{".", "internal/ledger"}, uses: []string{clockModule, sqliteModule},
		because: "a store knows the contract and its driver only: no other store, no executor, no policy",
	},
	{
		from: "store/mysql", to: []string{".", "internal/ledger"}, uses: []string{clockModule, mysqlModule},
		because: "a store knows the contract and its driver only: no other store, no executor, no policy",
	},
	{
		from: "store/storetest", to: []string{"."}, uses: []string{clockModule, testifyModule, goleakModule},
		because: "the suite judges every store, also one written elsewhere, so it favours none",
	},
	{
		from: "punctualtest", to: []string{".", "store/memory"}, uses: []string{clockModule},
		because: "it comes along into every host's tests, so it brings no test library and takes no store but the one that needs nothing",
	},
	{
		from: "executor/openai", to: []string{".", "internal/outbound"}, uses: []string{clockModule, openaiModule},
		because: "an executor does the work of one attempt; where tasks are kept is not its business",
	},
	{
		from: "executor/webhook", to: []string{".", "internal/outbound"}, uses: []string{clockModule},
		because: "an executor does the work of one attempt; where tasks are kept is not its business",
	},
	{
		from: "executor/river", to: []string{".", "internal/outbound"}, uses: []string{clockModule, riverModule},
		because: "an executor does the work of one attempt; where tasks are kept is not its business, and River's driver is the host's choice",
	},
	{
		from: "observe/otel", to: []string{"."}, uses: []string{otelModule},
		because: "it turns events into metrics and spans through OpenTelemetry's API; which SDK or exporter takes them is the host's choice",
	},
	{
		from: "schedule/rrule", to: []string{"."}, uses: []string{rruleModule},
		because: "a kind of schedule is a function of time: no store, no executor, no clock",
	},
	{
		from: "schedule/ics", to: []string{".", "schedule/rrule"}, uses: []string{icalModule},
		because: "it turns a file into dates: no store, no executor, no clock",
	},
	{
		from: "web", to: []string{"."}, uses: []string{clockModule},
		because: "a page shows what any store and any executor did, so it knows the scheduler only",
	},
	{
		from: "examples", to: []string{"*"}, uses: []string{"*"},
		because: "programs use whatever a host would use, and nobody imports a program",
	},
	{
		from: "bench", to: []string{"*"}, uses: []string{"*"},
		because: "a comparison runs the libraries that it compares with, and nobody imports a program",
	},
}

// rootRequires are all modules that go.mod of the core may name: whoever imports the core gets them.
var rootRequires = map[string]string{
	clockModule:          "the injected clock is part of the API",
	openaiModule:         "executor/openai; its own module pulls in nothing else",
	testifyModule:        "tests and the conformance suite",
	goleakModule:         "tests: no goroutine is left",
	"go.yaml.in/yaml/v3": "what testify needs",
}

// rowOf returns the innermost row that covers the directory. The root's row covers the root package only.
func rowOf(dir string) *arrow {
	var found *arrow
	for i := range arrows {
		row := &arrows[i]
		if row.from == dir || row.from != "." && lint.Within(dir, row.from) && (found == nil || len(row.from) > len(found.from)) {
			found = row
		}
	}
	return found
}

// brokenArrows finds the imports that no arrow allows.
func brokenArrows(source *lint.Tree) []string {
	root := source.Module(".")
	if root == nil {
		return []string{"go.mod: is missing"}
	}
	var found []string
	for i := range source.Files {
		f := &source.Files[i]
		row := rowOf(f.Dir())
		if row == nil {
			found = append(found, fmt.Sprintf("%s: no row of the arrows covers %s: add one that says what it may import, and why nothing else", f.Path, f.Dir()))
			continue
		}
		for _, i := range f.Imports {
			reason := row.because
			allowed := allows(row, i.Path, root.Path)
			if f.Test {
				reason = "tests use their own module, the core and test libraries; drivers stay in their modules and programs are imported by nobody"
				allowed = allowed || testMayImport(f, source, i.Path)
			}
			if !allowed {
				found = append(found, lint.Problem{Path: f.Path, Line: i.Line, Text: fmt.Sprintf("%s must not import %q: %s", f.Dir(), i.Path, reason)}.String())
			}
		}
	}
	return found
}

func allows(row *arrow, imported, root string) bool {
	if standard(imported) {
		return true
	}
	dir, ours := ourDir(imported, root)
	if !ours {
		return slices.ContainsFunc(row.uses, func(module string) bool { return module == "*" || lint.Within(imported, module) })
	}
	target := rowOf(dir)
	return target != nil && (target == row || slices.Contains(row.to, "*") || slices.Contains(row.to, target.from))
}

// testMayImport is the wider rule of test files. Modules from elsewhere are bounded by the go.mod that the test belongs to.
func testMayImport(f *lint.File, source *lint.Tree, imported string) bool {
	root := source.Module(".").Path
	dir, ours := ourDir(imported, root)
	if !ours {
		return true
	}
	owner := "."
	for _, m := range source.Modules {
		if lint.Within(dir, m.Dir) && len(m.Dir) >= len(owner) {
			owner = m.Dir
		}
	}
	return owner == "." || source.Module(owner).Path == f.Module
}

// standard reports whether an import is of the standard library: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// ourDir returns the directory of a package of this repository.
func ourDir(imported, root string) (string, bool) {
	if imported == root {
		return ".", true
	}
	return strings.CutPrefix(imported, root+"/")
}

// heavyCore finds what the core's go.mod must not name.
func heavyCore(source *lint.Tree) []string {
	var found []string
	for _, r := range source.Module(".").Requires {
		if rootRequires[r.Path] == "" {
			found = append(found, fmt.Sprintf("go.mod: %s has no place in the core: drivers and the like belong to a module of their own", r.Path))
		}
	}
	return found
}

// outsideWorkspace finds modules that go.work does not list, and so no check would reach.
func outsideWorkspace(source *lint.Tree, work string) []string {
	uses := lint.WorkUses(work)
	var found []string
	for _, m := range source.Modules {
		if !slices.Contains(uses, m.Dir) {
			found = append(found, fmt.Sprintf("go.work: does not use ./%s", m.Dir))
		}
	}
	return found
}

func TestImportsFollowTheArrows(t *testing.T) {
	source, err := lint.Load(os.DirFS("."))
	require.NoError(t, err)
	for _, problem := range brokenArrows(source) {
		t.Error(problem)
	}
}

func TestCoreRequiresNoDriver(t *testing.T) {
	source, err := lint.Load(os.DirFS("."))
	require.NoError(t, err)
	for _, problem := range heavyCore(source) {
		t.Error(problem)
	}
}

func TestEveryModuleIsInTheWorkspace(t *testing.T) {
	work, err := os.ReadFile("go.work")
	require.NoError(t, err)
	source, err := lint.Load(os.DirFS("."))
	require.NoError(t, err)
	for _, problem := range outsideWorkspace(source, string(work)) {
		t.Error(problem)
	}
}

func TestArrowsSayWhyAndPointAtRows(t *testing.T) {
	for _, row := range arrows {
		assert.NotEmpty(t, row.because, row.from)
		for _, to := range row.to {
			assert.True(t, to == "*" || slices.ContainsFunc(arrows, func(a arrow) bool { return a.from == to }), "%s points at %s, which has no row", row.from, to)
			assert.NotEqual(t, "examples", to, "nobody imports a program")
		}
	}
}

// soundTree is a small repository without a fault; cases add one each.
var soundTree = map[string]string{
	"go.mod":                      "module example.com/p\nrequire " + clockModule + " v1.0.0\n",
	"go.work":                     "use .\nuse ./store/sqlite\nuse ./examples\n",
	"a.go":                        "package p\nimport (\n\t\"time\"\n\t\"example.com/p/internal/cronexpr\"\n\t\"" + clockModule + "\"\n)\n",
	"a_test.go":                   "package p_test\nimport (\n\t\"example.com/p/store/memory\"\n\t\"" + testifyModule + "/assert\"\n)\n",
	"internal/cronexpr/c.go":      "package cronexpr\nimport \"time\"\n",
	"store/memory/m.go":           "package memory\nimport \"example.com/p\"\n",
	"store/sqlite/go.mod":         "module example.com/p/store/sqlite\nrequire " + sqliteModule + " v1.0.0\n",
	"store/sqlite/s.go":           "package sqlite\nimport (\n\t\"example.com/p\"\n\t\"example.com/p/store/sqlite/schema\"\n\t_ \"" + sqliteModule + "\"\n)\n",
	"store/sqlite/s_test.go":      "package sqlite_test\nimport (\n\t\"example.com/p/store/sqlite\"\n\t\"example.com/p/store/storetest\"\n)\n",
	"store/sqlite/schema/x.go":    "package schema\n",
	"store/storetest/t.go":        "package storetest\nimport (\n\t\"testing\"\n\t\"example.com/p\"\n\t\"" + testifyModule + "/require\"\n)\n",
	"examples/go.mod":             "module example.com/p/examples\n",
	"examples/server/main.go":     "package main\nimport (\n\t\"example.com/p\"\n\t\"example.com/p/store/sqlite\"\n\t\"example.com/any\"\n)\n",
	"executor/openai/e.go":        "package openai\nimport (\n\t\"example.com/p\"\n\t\"" + openaiModule + "\"\n)\n",
	"executor/openai/testdata/go": "",
}

func TestBrokenArrowsAreFound(t *testing.T) {
	cases := []struct {
		name, path, text string
		want             string // part of the only problem; empty for none
	}{
		{"nothing wrong", "b.go", "package p\n", ""},
		{"core imports a store", "b.go", "package p\nimport \"example.com/p/store/memory\"\n", `b.go:2: . must not import "example.com/p/store/memory": the scheduler owns`},
		{"core imports an executor under a name", "b.go", "package p\nimport x \"example.com/p/executor/openai\"\n", `b.go:2: . must not import "example.com/p/executor/openai"`},
		{"core imports a library", "b.go", "package p\nimport _ \"" + sqliteModule + "/lib\"\n", `b.go:2: . must not import "modernc.org/sqlite/lib"`},
		{"core imports a library on one platform only", "b_windows.go", "package p\nimport \"example.com/any\"\n", "b_windows.go:2"},
		{"a module whose path begins like the clock's", "b.go", "package p\nimport \"" + clockModule + "work\"\n", "b.go:2"},
		{"calendar arithmetic imports the clock", "internal/cronexpr/d.go", "package cronexpr\nimport \"" + clockModule + "\"\n", "pure"},
		{"store imports store", "store/memory/n.go", "package memory\nimport \"example.com/p/store/sqlite\"\n", "store/memory/n.go:2"},
		{"store imports its suite", "store/memory/n.go", "package memory\nimport \"example.com/p/store/storetest\"\n", "store/memory/n.go:2"},
		{"store's test imports the suite", "store/memory/n_test.go", "package memory\nimport \"example.com/p/store/storetest\"\n", ""},
		{"executor imports store", "executor/openai/f.go", "package openai\nimport \"example.com/p/store/memory\"\n", "where tasks are kept"},
		{"suite imports a store", "store/storetest/u.go", "package storetest\nimport \"example.com/p/store/memory\"\n", "favours none"},
		{"core's test imports a driver's module", "b_test.go", "package p_test\nimport \"example.com/p/store/sqlite\"\n", "b_test.go:2"},
		{"somebody imports a program", "store/memory/n.go", "package memory\nimport \"example.com/p/examples/server\"\n", "store/memory/n.go:2"},
		{"a test imports a program", "store/sqlite/t_test.go", "package sqlite\nimport \"example.com/p/examples/server\"\n", "imported by nobody"},
		{"a layer without a row", "cloud/c.go", "package cloud\nimport \"example.com/p\"\n", "cloud/c.go: no row of the arrows covers cloud"},
		{"a package beside the layers", "util/u.go", "package util\n", "no row of the arrows covers util"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			source, err := lint.Load(synthetic(map[string]string{c.path: c.text}))
			require.NoError(t, err)
			got := brokenArrows(source)
			if c.want == "" {
				assert.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			assert.Contains(t, got[0], c.want)
		})
	}
}

func TestHeavyCoreIsFound(t *testing.T) {
	sound, err := lint.Load(synthetic(nil))
	require.NoError(t, err)
	assert.Empty(t, heavyCore(sound))
	heavy, err := lint.Load(synthetic(map[string]string{"go.mod": "module example.com/p\nrequire (\n\t" + clockModule + " v1.0.0\n\t" + sqliteModule + " v1.0.0 // indirect\n)\n"}))
	require.NoError(t, err)
	assert.Equal(t, []string{"go.mod: modernc.org/sqlite has no place in the core: drivers and the like belong to a module of their own"}, heavyCore(heavy))
}

func TestModuleOutsideTheWorkspaceIsFound(t *testing.T) {
	source, err := lint.Load(synthetic(nil))
	require.NoError(t, err)
	assert.Empty(t, outsideWorkspace(source, soundTree["go.work"]))
	assert.Equal(t, []string{"go.work: does not use ./store/sqlite"}, outsideWorkspace(source, "use (\n\t.\n\t./examples\n)\n"))
}

// synthetic is the sound tree with some files added or replaced.
func synthetic(more map[string]string) fs.FS {
	fsys := fstest.MapFS{}
	for _, files := range []map[string]string{soundTree, more} {
		for name, text := range files {
			fsys[path.Clean(name)] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return fsys
}
