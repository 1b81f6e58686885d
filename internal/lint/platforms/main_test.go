package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatOnlyOtherPlatformsSeeIsFound(t *testing.T) {
	cases := []struct {
		name  string
		files map[string]string
		wrong map[string]string // by arguments, what is said; all others are right
	}{
		{
			"a name that one platform has",
			map[string]string{
				"a.go":         "package a\n\nimport \"strings\"\n\nfunc F() string { return strings.ToUpper(name) }\n",
				"a_linux.go":   "package a\n\nconst name = \"linux\"\n",
				"a_windows.go": "package a\n\nconst nome = \"windows\"\n",
			},
			map[string]string{"windows/amd64": "undefined: name", "-test windows/amd64": "undefined: name"},
		},
		{
			"a constant that is too large for an int",
			map[string]string{"a.go": "package a\n\nvar Mask = 1 << 40\n"},
			map[string]string{"linux/386": "overflows", "-test linux/386": "overflows"},
		},
		{
			"a test that is wrong on one",
			map[string]string{
				"a.go":      "package a\n\nconst Most = 1 << 40\n",
				"a_test.go": "package a_test\n\nimport \"example.test/a\"\n\nvar Mask = a.Most\n",
			},
			map[string]string{"-test linux/386": "overflows"},
		},
		{
			"an import that one platform does not have",
			map[string]string{
				"a.go": "package a\n\nimport _ \"example.test/a/b\"\n", "b/b_linux.go": "package b\n",
			},
			map[string]string{"windows/amd64": "exclude all Go files", "-test windows/amd64": "exclude all Go files"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.files["go.mod"] = "module example.test/a\n\ngo 1.25\n"
			for name, text := range c.files {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			}
			t.Chdir(dir)
			t.Setenv("GOWORK", "off")
			for _, args := range []string{"windows/amd64", "linux/386", "linux/arm64", "-test linux/386", "-test windows/amd64"} {
				err := run(append(strings.Fields(args), "--", "."), io.Discard)
				if want := c.wrong[args]; want != "" {
					assert.ErrorContains(t, err, want, args)
				} else {
					assert.NoError(t, err, args)
				}
			}
		})
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	for _, args := range [][]string{nil, {"--", "."}, {"linux/386"}, {"linux/386", "--"}, {"-test", "--", "."}} {
		assert.ErrorContains(t, run(args, io.Discard), "usage", args)
	}
	assert.ErrorContains(t, run([]string{"linux/none", "--", "."}, io.Discard), "no os/arch")
}
