// Package punctualtest tests programs that use punctual, on a time that the test moves.
//
//	func TestReportIsMadeEachHour(t *testing.T) {
//		h := punctualtest.New(t, app.Executor())
//		h.Ensure(t.Context(), app.ReportTask())
//		h.Advance(2 * time.Hour)
//		h.AssertLedger("report",
//			"register +0s succeeded",
//			"schedule +1h succeeded",
//			"schedule +2h succeeded")
//	}
//
// A Harness is a started punctual.Scheduler with a clock. Advance fires everything that is due on the way, each at its exact instant,
// and returns when all has settled: no run is about to start, and every result is in the ledger. At the end of the test the Harness
// stops the Scheduler and fails the test if a goroutine is left.
//
// There are two styles, and New finds out which it is called in:
//
//   - In a testing/synctest bubble the real clock is a fake one, for the Scheduler and for all code of the host. Whatever waits for
//     time just waits.
//   - Elsewhere the Harness has a clock of its own. Only what tells the Harness can wait for it: executors that take time do so
//     with Sleep, a Gate or the steps of a Script. A real executor that makes real calls may take as long as it likes, up to
//     Config.Patience, and no time passes meanwhile.
//
// Hosts that inject a *clock.Mock into their own code hand it to Config.Mock, in either style.
//
// The package is imported by tests only and needs nothing but the core.
package punctualtest
