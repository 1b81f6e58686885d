// Package sim runs whole clusters on virtual time and checks what the library promises.
//
// A World is a store, some processes that share it, and a record of all that happened. Each process is a Scheduler with a clock and a
// connection of its own: it can be frozen, killed, cut off and shut down, its wall clock can be wrong and jump, and its calls to the store
// are slow, fail before or after they were carried out, or are never answered. A witness stands right before the store and notes what was
// committed, whatever the callers came to know of it; the host code notes what was executed.
//
// Chaos draws all of that from a seed: definitions and all of their policies, what hosts ask for and from where, kinds that some processes handle and limits of
// their own, trims of the ledger. In some worlds a crowd of tasks comes due together over a store that makes claims ahead
// (internal/foresight), and most of the harm is done shortly before; in others the crowd is so large, and claims so slow, that processes make two at a time. When it is over, World.Check compares the ledger with what happened and tells every promise of
// docs/guarantees.md that was broken. What a promise does not cover is said there, and at the place in check.go that allows for it.
//
// A world lives in a bubble of testing/synctest, so minutes pass in milliseconds, and a goroutine that is left behind fails the test. All
// that is drawn follows from the seed and from what it is drawn for, not from the order in which goroutines come to ask, so a seed that failed
// fails again. What is left to chance is the order of goroutines that wake at the same instant, as when a frozen process goes on: where that
// matters it may take some tries (-count).
//
// The checker itself is tested: variants_test.go holds the library with one mistake at a time, and each has to be caught.
package sim
