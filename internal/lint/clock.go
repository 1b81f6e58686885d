package lint

import (
	"fmt"
	"go/ast"
	"path"
)

// wallClock lists what reads or waits on the wall clock, and what to use instead. All of it exists on an injected clock, or as
// a timer of that clock with context.WithCancelCause.
var wallClock = map[string]map[string]string{
	"time": {
		"Now":       "Now of the injected clock",
		"Since":     "Since of the injected clock",
		"Until":     "Until of the injected clock",
		"Sleep":     "a Timer of the injected clock and a select that can be ended",
		"After":     "a Timer of the injected clock, which can be stopped",
		"AfterFunc": "AfterFunc of the injected clock",
		"NewTimer":  "Timer of the injected clock",
		"NewTicker": "a fresh Timer of the injected clock for each wait",
		"Tick":      "a fresh Timer of the injected clock for each wait",
	},
	"context": {
		"WithTimeout":       "context.WithCancelCause and AfterFunc of the injected clock",
		"WithTimeoutCause":  "context.WithCancelCause and AfterFunc of the injected clock",
		"WithDeadline":      "context.WithCancelCause and AfterFunc of the injected clock",
		"WithDeadlineCause": "context.WithCancelCause and AfterFunc of the injected clock",
	},
}

// WallClock finds where a file names a function that reads or waits on the wall clock, called or not, under whatever name its
// package was imported. A dot import of such a package is a problem by itself, since it would hide the calls.
func WallClock(f *File) []Problem {
	var found []Problem
	names := make(map[string]string) // name in this file -> path of the package
	for _, i := range f.Imports {
		if wallClock[i.Path] == nil || i.Name == "_" {
			continue
		}
		switch i.Name {
		case ".":
			found = append(found, Problem{f.Path, i.Line, fmt.Sprintf("dot import of %q would hide calls of the wall clock", i.Path)})
		case "":
			names[path.Base(i.Path)] = i.Path
		default:
			names[i.Name] = i.Path
		}
	}
	if len(names) == 0 {
		return found
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// A name that the parser resolved is a variable or the like that shadows the import.
		x, ok := selector.X.(*ast.Ident)
		if !ok || x.Obj != nil {
			return true
		}
		imported := names[x.Name]
		if instead := wallClock[imported][selector.Sel.Name]; instead != "" {
			line := f.fset.Position(selector.Pos()).Line
			found = append(found, Problem{f.Path, line, fmt.Sprintf("%s.%s is the wall clock's: use %s", imported, selector.Sel.Name, instead)})
		}
		return true
	})
	return found
}
