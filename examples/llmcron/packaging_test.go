package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What an image or a unit sets has to be what the program reads, or it would be ignored without a word.
func TestPackagingSetsOnlyWhatTheProgramReads(t *testing.T) {
	source, err := os.ReadFile("config.go")
	require.NoError(t, err)
	for _, name := range []string{"Dockerfile", "llmcron.service"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		found := regexp.MustCompile(`LLMCRON_[A-Z_]+`).FindAllString(string(text), -1)
		assert.NotEmpty(t, found, name)
		for _, variable := range found {
			assert.Contains(t, string(source), `"`+variable+`"`, name)
		}
	}
	docker, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	assert.Contains(t, string(docker), "FROM scratch")
	work, err := os.ReadFile("../../go.work")
	require.NoError(t, err)
	version := regexp.MustCompile(`go (1\.\d+)`).FindStringSubmatch(string(work))
	assert.Contains(t, string(docker), "FROM golang:"+version[1]+" ", "the image builds with the version of go.work")
}

// TestTheDocumentationListsEveryFlag keeps docs/llmcron.md in step with the program's own help.
func TestTheDocumentationListsEveryFlag(t *testing.T) {
	var help strings.Builder
	_, err := readConfig([]string{"-h"}, func(string) string { return "" }, &help)
	require.Error(t, err)
	docs, err := os.ReadFile("../../docs/llmcron.md")
	require.NoError(t, err)
	flags := regexp.MustCompile(`(?m)^  (-[a-z]+)`).FindAllStringSubmatch(help.String(), -1)
	require.Greater(t, len(flags), 8)
	for _, flag := range flags {
		assert.Contains(t, string(docs), "| `"+flag[1]+"`", "docs/llmcron.md has no row for %s", flag[1])
	}
	c, err := readConfig(nil, func(string) string { return "" }, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 10, c.concurrency)
}
