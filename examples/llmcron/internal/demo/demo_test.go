package demo_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/examples/llmcron/internal/demo"
)

// Tasks keep the address of the endpoint that they call, so it must be the same after a restart.
func TestTheEndpointIsAtTheSameAddressAfterARestart(t *testing.T) {
	first, err := demo.Start("127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, first.Close())
	address := first.URL[len("http://") : len(first.URL)-len("/v1")]
	again, err := demo.Start(address)
	require.NoError(t, err)
	defer func() { assert.NoError(t, again.Close()) }()
	assert.Equal(t, first.URL, again.URL)
}

func TestAnotherPortIsUsedWhenThePreferredOneIsTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	endpoint, err := demo.Start(other.Addr().String())
	require.NoError(t, err)
	defer func() { assert.NoError(t, endpoint.Close()) }()
	assert.NotContains(t, endpoint.URL, other.Addr().String())
}
