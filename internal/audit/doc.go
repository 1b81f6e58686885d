// Package audit compares a ledger with what was owed: the half of the judgement on a cluster that asks neither who executed what nor how
// time passed, so that it is the same for simulated processes and for real ones.
package audit
