// Package faults does to real processes what a cluster has to live with, over real servers: it kills them, stops them, cuts their
// connections and restarts the servers, and then compares the ledger with what host code really did.
//
// Each instance is this test binary once more (worker_test.go): a Scheduler over a store, whose host code writes down on a pipe when it
// begins and when it ends. What was written survives a kill. The test itself is the parent (crew_test.go). It registers tasks, does the
// harm, and judges in the end (verdict_test.go): no occurrence is without a fact or has two, and each execution is explained by the ledger.
//
// docs/faults.md lists the cases and what was measured. go test runs a short version; make faults runs all of it.
package faults
