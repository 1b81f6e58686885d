package lint_test

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/internal/lint"
)

func tree(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// offDuty are directories whose code may ask the wall clock, with the reason.
var offDuty = map[string]string{
	"examples": "programs: their main chooses the clock",
	"bench":    "measures elapsed time of the real machine",
}

func TestLibraryCodeNeverAsksTheWallClock(t *testing.T) {
	source, err := lint.Load(os.DirFS("../.."))
	require.NoError(t, err)
	checked := 0
	for i := range source.Files {
		f := &source.Files[i]
		if f.Test || excused(f.Dir()) {
			continue
		}
		checked++
		for _, problem := range lint.WallClock(f) {
			t.Error(problem)
		}
	}
	assert.Greater(t, checked, 20, "the walk has lost its way: too few files were read")
}

func excused(dir string) bool {
	for top := range offDuty {
		if lint.Within(dir, top) {
			return true
		}
	}
	return false
}

func TestWallClockIsFoundUnderAnyName(t *testing.T) {
	cases := []struct {
		name, text string
		want       []string
	}{
		{"plain", "package p\nimport \"time\"\nvar t = time.Now()\n", []string{"a.go:3: time.Now is the wall clock's: use Now of the injected clock"}},
		{"renamed", "package p\nimport std \"time\"\nfunc f() { std.Sleep(1) }\n", []string{
			"a.go:3: time.Sleep is the wall clock's: use a Timer of the injected clock and a select that can be ended",
		}},
		{"not called", "package p\nimport \"time\"\nvar now = time.Now\n", []string{"a.go:3: time.Now is the wall clock's: use Now of the injected clock"}},
		{"dot import", "package p\nimport . \"time\"\nvar t = Now()\n", []string{`a.go:2: dot import of "time" would hide calls of the wall clock`}},
		{"context under another name", "package p\nimport c \"context\"\nvar f = c.WithTimeout\n", []string{
			"a.go:3: context.WithTimeout is the wall clock's: use context.WithCancelCause and AfterFunc of the injected clock",
		}},
		{"two imports of one package", "package p\nimport \"time\"\nimport t2 \"time\"\nvar a, b = time.Now, t2.Now\n", []string{
			"a.go:4: time.Now is the wall clock's: use Now of the injected clock",
			"a.go:4: time.Now is the wall clock's: use Now of the injected clock",
		}},
		{"other platform", "//go:build plan9\n\npackage p\nimport \"time\"\nvar t = time.Now()\n", []string{
			"a.go:5: time.Now is the wall clock's: use Now of the injected clock",
		}},
		{"inside a closure of a literal", "package p\nimport \"time\"\nvar x = []func(){func() { <-time.After(1) }}\n", []string{
			"a.go:3: time.After is the wall clock's: use a Timer of the injected clock, which can be stopped",
		}},
		{"harmless use", "package p\nimport \"time\"\nvar d = time.Second\nfunc f(t time.Time) bool { return t.After(time.Unix(0, 0)) }\n", nil},
		{"method of an injected clock", "package p\nimport \"github.com/benbjohnson/clock\"\nfunc f(c clock.Clock) { c.Now(); c.Sleep(1) }\n", nil},
		{"shadowed name", "package p\nimport \"time\"\ntype clk struct{}\nfunc (clk) Now() time.Duration { return 0 }\nfunc f(time clk) { time.Now() }\n", nil},
		{"another package called time", "package p\nimport \"example.com/time\"\nvar t = time.Now()\n", nil},
		{"package imported for nothing", "package p\nimport _ \"time\"\n", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			source, err := lint.Load(tree(map[string]string{"a.go": c.text}))
			require.NoError(t, err)
			require.Len(t, source.Files, 1)
			var got []string
			for _, problem := range lint.WallClock(&source.Files[0]) {
				got = append(got, problem.String())
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestEveryFunctionOfTheWallClockIsFound(t *testing.T) {
	banned := map[string][]string{
		"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
		"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
	}
	for pkg, names := range banned {
		for _, name := range names {
			source, err := lint.Load(tree(map[string]string{"a.go": "package p\nimport \"" + pkg + "\"\nvar x = " + pkg + "." + name + "\n"}))
			require.NoError(t, err)
			assert.Len(t, lint.WallClock(&source.Files[0]), 1, "%s.%s", pkg, name)
		}
	}
}

func TestLoadKnowsModulesPackagesAndImports(t *testing.T) {
	source, err := lint.Load(tree(map[string]string{
		"go.mod":                   "module example.com/m\n\ngo 1.25.0\n\nrequire example.com/a v1.0.0 // indirect\n\nrequire (\n\texample.com/b v1.0.0\n\texample.com/c v1.0.0 // indirect\n)\n",
		"root.go":                  "package m\nimport (\n\t\"time\"\n\tx \"example.com/b\"\n)\n",
		"in/in_test.go":            "package in\n",
		"driver/go.mod":            "module example.com/m/driver // the driver\n",
		"driver/sub/sub.go":        "package sub\n",
		"drivers/d.go":             "package drivers\n",
		"testdata/bad.go":          "this is not Go",
		".hidden/bad.go":           "this is not Go",
		"_off/bad.go":              "this is not Go",
		"vendor/bad.go":            "this is not Go",
		"web/node_modules/a/b.go":  "this is not Go",
		"driver/testdata/x/bad.go": "this is not Go",
	}))
	require.NoError(t, err)
	assert.Equal(t, []lint.Module{
		{Dir: ".", Path: "example.com/m", Requires: []lint.Require{{"example.com/a", true}, {"example.com/b", false}, {"example.com/c", true}}},
		{Dir: "driver", Path: "example.com/m/driver"},
	}, source.Modules)
	type brief struct {
		path, module, pkg string
		test              bool
	}
	var files []brief
	for _, f := range source.Files {
		files = append(files, brief{f.Path, f.Module, f.Package, f.Test})
	}
	assert.Equal(t, []brief{
		{"driver/sub/sub.go", "example.com/m/driver", "example.com/m/driver/sub", false},
		{"drivers/d.go", "example.com/m", "example.com/m/drivers", false},
		{"in/in_test.go", "example.com/m", "example.com/m/in", true},
		{"root.go", "example.com/m", "example.com/m", false},
	}, files)
	assert.Equal(t, []lint.Import{{"", "time", 3}, {"x", "example.com/b", 4}}, source.Files[3].Imports)
}

func TestLoadReportsAFileThatDoesNotParse(t *testing.T) {
	_, err := lint.Load(tree(map[string]string{"a/broken.go": "package a\nfunc {"}))
	require.ErrorContains(t, err, "a/broken.go:2")
}

func TestWorkUsesReadsBothForms(t *testing.T) {
	assert.Equal(t, []string{".", "store/sqlite", "examples"}, lint.WorkUses("go 1.25.0\n\nuse (\n\t.\n\t./store/sqlite // a driver\n)\nuse ./examples/\n"))
	assert.Empty(t, lint.WorkUses("go 1.25.0\n"))
}
