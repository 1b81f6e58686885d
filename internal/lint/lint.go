// Package lint reads the repository's source as text, without building it, for the tests that hold its rules: library code never
// asks the wall clock (WallClock here), and imports follow the arrows between the layers (arrows_test.go at the root). Every file
// is read, whatever its build constraints and whichever module it belongs to, so a rule also holds on platforms that nobody
// builds on here.
package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Tree is the source of a repository.
type Tree struct {
	Modules []Module // by directory
	Files   []File   // by path
}

// File is one Go file.
type File struct {
	Path    string // from the root, with slashes
	Module  string // path of the module that it belongs to; empty when there is none
	Package string // import path of its directory; empty without a module
	Test    bool   // the name ends in _test.go
	Imports []Import

	syntax *ast.File
	fset   *token.FileSet
}

// Dir returns the file's directory from the root, "." for the root itself.
func (f *File) Dir() string { return path.Dir(f.Path) }

// Import is one import of a file.
type Import struct {
	Name string // as written: empty, a name, "." or "_"
	Path string
	Line int
}

// Problem is one place where a rule is broken.
type Problem struct {
	Path string
	Line int
	Text string
}

// String returns the problem as compilers print theirs, so that editors find the place.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text) }

// Load reads every Go file and every go.mod under root. Directories that the go command ignores are left out: testdata, vendor
// and names that begin with a dot or an underscore, and node_modules besides. A file that does not parse is an error.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{}
	fset := token.NewFileSet()
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if name != "." && ignored(d.Name()) {
				return fs.SkipDir
			}
			return nil
		case d.Name() == "go.mod":
			text, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			t.Modules = append(t.Modules, parseModule(path.Dir(name), string(text)))
		case path.Ext(name) == ".go":
			text, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			syntax, err := parser.ParseFile(fset, name, text, 0)
			if err != nil {
				return err
			}
			t.Files = append(t.Files, newFile(name, syntax, fset))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	slices.SortFunc(t.Modules, func(a, b Module) int { return strings.Compare(a.Dir, b.Dir) })
	for i := range t.Files {
		f := &t.Files[i]
		if m := t.moduleOf(f.Dir()); m != nil {
			f.Module, f.Package = m.Path, m.packageAt(f.Dir())
		}
	}
	return t, nil
}

func ignored(dir string) bool {
	return strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_") || dir == "testdata" || dir == "vendor" || dir == "node_modules"
}

func newFile(name string, syntax *ast.File, fset *token.FileSet) File {
	f := File{Path: name, Test: strings.HasSuffix(name, "_test.go"), syntax: syntax, fset: fset}
	for _, spec := range syntax.Imports {
		imported := Import{Line: fset.Position(spec.Pos()).Line}
		imported.Path, _ = strconv.Unquote(spec.Path.Value) // the parser has checked that it is a string
		if spec.Name != nil {
			imported.Name = spec.Name.Name
		}
		f.Imports = append(f.Imports, imported)
	}
	return f
}

// moduleOf returns the innermost module that holds the directory.
func (t *Tree) moduleOf(dir string) *Module {
	var found *Module
	for i := range t.Modules {
		if m := &t.Modules[i]; Within(dir, m.Dir) && (found == nil || len(m.Dir) > len(found.Dir) || found.Dir == ".") {
			found = m
		}
	}
	return found
}

// Module returns the module with the given directory, or nil.
func (t *Tree) Module(dir string) *Module {
	for i := range t.Modules {
		if t.Modules[i].Dir == dir {
			return &t.Modules[i]
		}
	}
	return nil
}

// Within reports whether the directory dir is top or lies below it; both from the root, with slashes.
func Within(dir, top string) bool { return top == "." || dir == top || strings.HasPrefix(dir, top+"/") }
