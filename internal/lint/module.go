package lint

import "strings"

// Module is what a go.mod says, as far as rules ask.
type Module struct {
	Dir      string // from the root, with slashes; "." for the root
	Path     string
	Requires []Require
}

// Require is one line of a go.mod's requirements.
type Require struct {
	Path     string
	Indirect bool // no package of the module imports it
}

func (m *Module) packageAt(dir string) string {
	switch {
	case dir == m.Dir:
		return m.Path
	case m.Dir == ".":
		return m.Path + "/" + dir
	default:
		return m.Path + strings.TrimPrefix(dir, m.Dir)
	}
}

// parseModule reads the two directives that rules ask about. The go command refuses a go.mod that is malformed, so this does not.
func parseModule(dir, text string) Module {
	m := Module{Dir: dir}
	for _, d := range directives(text) {
		switch {
		case len(d.words) < 2:
		case d.words[0] == "module":
			m.Path = strings.Trim(d.words[1], `"`)
		case d.words[0] == "require":
			m.Requires = append(m.Requires, Require{strings.Trim(d.words[1], `"`), strings.HasPrefix(d.comment, "indirect")})
		}
	}
	return m
}

// WorkUses returns the directories that a go.work lists, from its own directory, with slashes.
func WorkUses(text string) []string {
	var dirs []string
	for _, d := range directives(text) {
		if len(d.words) == 2 && d.words[0] == "use" {
			dir := strings.TrimPrefix(strings.Trim(d.words[1], `"`), "./")
			dirs = append(dirs, strings.TrimSuffix(dir, "/"))
		}
	}
	return dirs
}

// directive is one line of a go.mod or go.work, with the verb of its block in front.
type directive struct {
	words   []string
	comment string
}

func directives(text string) []directive {
	var found []directive
	var block []string
	for line := range strings.Lines(text) {
		code, comment, _ := strings.Cut(line, "//")
		words := strings.Fields(code)
		switch {
		case len(words) == 0:
		case words[0] == ")":
			block = nil
		case words[len(words)-1] == "(":
			block = words[:len(words)-1]
		default:
			found = append(found, directive{append(block[:len(block):len(block)], words...), strings.TrimSpace(comment)})
		}
	}
	return found
}
