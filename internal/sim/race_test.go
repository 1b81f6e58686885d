//go:build race

package sim

// The race detector makes a simulation ten times slower.
func init() { slowness = 10 }
