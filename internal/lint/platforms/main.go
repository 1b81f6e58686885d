// Command platforms checks the types of packages as other platforms see them: platforms [-test] <os/arch> <more> -- <packages>
//
// That is what can go wrong there in Go without assembler: a name that a platform does not have, a file that is left out, a constant that does
// not fit into an int. To build the packages, and all that they import, for each platform takes ten times as long. Bodies of functions are
// checked in the packages of the workspace only.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "platforms:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	withTests := len(args) > 0 && args[0] == "-test"
	if withTests {
		args = args[1:]
	}
	end := slices.Index(args, "--")
	if end < 1 || end == len(args)-1 {
		return errors.New("usage: platforms [-test] <os/arch> <more> -- <packages>")
	}
	var failed error
	for _, name := range args[:end] {
		p, err := newPlatform(name)
		if err != nil {
			return err
		}
		if err := p.check(withTests, args[end+1:]); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
		}
		fmt.Fprintf(out, "%s: %d packages of the workspace, %d in all\n", name, p.own, len(p.checked))
	}
	return failed
}

// platform is what packages look like on one.
type platform struct {
	os, arch string
	sizes    types.Sizes
	fset     *token.FileSet
	checked  map[string]*types.Package
	own      int // packages of the workspace
}

func newPlatform(name string) (*platform, error) {
	system, arch, _ := strings.Cut(name, "/")
	sizes := types.SizesFor("gc", arch)
	if sizes == nil {
		return nil, fmt.Errorf("%q is no os/arch", name)
	}
	return &platform{system, arch, sizes, token.NewFileSet(), map[string]*types.Package{"unsafe": types.Unsafe}, 0}, nil
}

// listed is a package as go list describes it.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string // of the imports that mean another package than they say: vendored ones, and those under test
	Module          *struct {
		Main      bool
		GoVersion string
	}
	Error *struct{ Err string }
}

// check checks some packages and all that they import.
func (p *platform) check(withTests bool, packages []string) error {
	args := []string{"list", "-e", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module,Error"}
	if withTests {
		args = append(args, "-test")
	}
	list := exec.Command("go", append(args, packages...)...)
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
	list.Stderr = os.Stderr
	text, err := list.Output()
	if err != nil {
		return err
	}
	var problems []error
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var l listed
		if err := d.Decode(&l); err != nil {
			return err
		}
		switch {
		case l.Error != nil:
			problems = append(problems, errors.New(l.Error.Err))
		case l.ImportPath == "unsafe" || strings.HasSuffix(l.ImportPath, ".test"): // the main package of a test is made by the go command
		default:
			problems = append(problems, p.add(&l)...)
		}
	}
	return errors.Join(problems...)
}

// add checks one package whose imports have been checked.
func (p *platform) add(l *listed) []error {
	var problems []error
	own := l.Module != nil && l.Module.Main
	config := types.Config{
		Sizes: p.sizes, IgnoreFuncBodies: !own, Importer: importer{p, l.ImportMap},
		Error: func(err error) { problems = append(problems, err) },
	}
	if l.Module != nil && l.Module.GoVersion != "" {
		config.GoVersion = "go" + l.Module.GoVersion
	}
	files := make([]*ast.File, 0, len(l.GoFiles))
	for _, name := range l.GoFiles {
		f, err := parser.ParseFile(p.fset, filepath.Join(l.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return []error{err}
		}
		files = append(files, f)
	}
	path, _, _ := strings.Cut(l.ImportPath, " ") // go list writes "path [path.test]" for what is built for a test
	p.checked[l.ImportPath], _ = config.Check(path, p.fset, files, nil)
	if own {
		p.own++
	}
	return problems
}

// importer finds the imports of one package.
type importer struct {
	p    *platform
	maps map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if other, mapped := i.maps[path]; mapped {
		path = other
	}
	found := i.p.checked[path]
	if found == nil {
		return nil, fmt.Errorf("%s is not there on this platform", path)
	}
	return found, nil
}
