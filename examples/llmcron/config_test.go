package main

import (
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/examples/llmcron/internal/vault"
)

func TestWithoutATokenOnlyLoopbackIsListenedOn(t *testing.T) {
	none := func(string) string { return "" }
	for addr, ok := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "127.9.9.9:0": true, ":8080": false, "0.0.0.0:8080": false, "[::]:8080": false,
		"192.0.2.1:8080": false, "8080": false,
	} {
		_, err := readConfig([]string{"-addr", addr}, none, io.Discard)
		assert.Equal(t, ok, err == nil, "%s: %v", addr, err)
	}
	_, err := readConfig([]string{"-addr", ":8080"}, func(name string) string {
		if name == "LLMCRON_TOKEN" {
			return "token"
		}
		return ""
	}, io.Discard)
	require.NoError(t, err)
}

func TestTheDemoEndpointStandsBesideTheServer(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1:8081", "[::1]:9000": "127.0.0.1:9001", "127.0.0.1:0": "127.0.0.1:0", "127.0.0.1:65535": "127.0.0.1:0",
		"127.0.0.1:http": "127.0.0.1:0",
	} {
		assert.Equal(t, want, besides(addr), addr)
	}
}

func TestEnvironmentAndFlags(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"LLMCRON_ADDR": "127.0.0.1:1", "LLMCRON_DB": "env.db", "LLMCRON_SECRET_KEY": "k"}[name]
	}
	c, err := readConfig([]string{"-db", "flag.db"}, env, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:1", c.addr)
	assert.Equal(t, "flag.db", c.db, "a flag goes before the environment")
	assert.Equal(t, "k", c.secretKey)
}

func TestVault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	v, err := vault.Open("", file)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	sealed, err := v.Seal("task", secret)
	require.NoError(t, err)
	assert.NotContains(t, sealed, "sk-")
	again, err := vault.Open("", file)
	require.NoError(t, err)
	open, err := again.Unseal("task", sealed)
	require.NoError(t, err)
	assert.Equal(t, secret, open)
	_, err = v.Unseal("another", sealed)
	require.Error(t, err, "a sealed key is bound to its task")

	other, err := vault.Open(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32))), "")
	require.NoError(t, err)
	_, err = other.Unseal("task", sealed)
	require.Error(t, err)

	_, err = vault.Open("not-a-key-but-secret", "")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "not-a-key-but-secret")
}
