package storetest_test

import (
	"testing"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/store/storetest"
)

// All that the test of a store needs. One that is durable, or shared, says how it is opened again, and by another process.
func ExampleRun() {
	open := func(*testing.T) punctual.Store { return memory.New() } // yours
	same := func(_ *testing.T, store punctual.Store) punctual.Store { return store }
	_ = func(t *testing.T) { // TestStoreKeepsTheContract
		storetest.Run(t, open, storetest.WithReopen(same), storetest.WithPeer(same), storetest.WithRounds(100))
	}
}

// The same measurements for every store.
func ExampleBench() {
	_ = func(b *testing.B) { // BenchmarkStore
		storetest.Bench(b, 10_000, func(*testing.B) punctual.Store { return memory.New() })
	}
}
