// Package ledger holds what the contract of punctual.Store says about rows, as functions over values, for the stores that keep rows in
// SQL: each of them reads rows under its locks, asks here what becomes of them, and writes the answer with statements of its own.
//
// The conformance suite store/storetest checks it through every store that uses it.
package ledger
