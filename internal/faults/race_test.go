//go:build linux && race

package faults

// Under the race detector the point is the code and not the servers, and each process takes several times as long to start.
func init() {
	all, few, servers = all[:1], all[:1], servers[:1]
	underRace = true
}
