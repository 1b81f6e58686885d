// Package outbound is what the executors share that call somebody over HTTP: a client that gives nothing away by a redirect, what a status
// and its headers say about another try, and texts from outside that are cleaned of secrets before they reach the ledger.
package outbound
