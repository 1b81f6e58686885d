package demo_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/examples/llmcron/internal/demo"
)

// Tasks keep the address of the endpoint that they call, so it is the preferred one whenever that is free. The address of this test is one that
// nothing else listens at.
func TestTheEndpointIsAtThePreferredAddress(t *testing.T) {
	const host = "127.0.0.2"
	free, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Skip("this machine has one loopback address only")
	}
	require.NoError(t, free.Close())
	endpoint, err := demo.Start(host + ":0")
	require.NoError(t, err)
	assert.Contains(t, endpoint.URL, "http://"+host+":")
	require.NoError(t, endpoint.Close())
	_, err = net.Dial("tcp", endpoint.URL[len("http://"):len(endpoint.URL)-len("/v1")])
	assert.Error(t, err, "nobody listens there any more")
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
