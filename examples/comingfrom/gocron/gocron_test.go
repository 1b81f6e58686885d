package gocron

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
	"github.com/punctual-go/punctual/store/memory"
)

// What the page says about both is seen here, in a bubble, where hours pass in a moment.

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

func TestBothRunAtOnceAndOnTime(t *testing.T) {
	want := []string{
		"Mon 06:45 sync crm", "Mon 07:15 sync crm", "Mon 07:45 sync crm", "Mon 08:00 report", "Mon 08:15 sync crm",
	}
	synctest.Test(t, func(t *testing.T) {
		work.Monday()
		d := new(work.Diary)
		s, err := before(d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(100 * time.Minute)
		synctest.Wait()
		require.NoError(t, s.Shutdown())
		assert.Equal(t, want, d.Lines())
	})
	synctest.Test(t, func(t *testing.T) {
		work.Monday()
		d := new(work.Diary)
		s, err := after(t.Context(), memory.New(), d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(100 * time.Minute)
		synctest.Wait()
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, want, d.Lines())
	})
}

func TestASlowRunIsNotOverlapped(t *testing.T) {
	want := []string{"Sat 00:00 sync crm", "Sat 01:30 sync crm"}
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Takes: 70 * time.Minute}
		s, err := before(d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(100 * time.Minute)
		synctest.Wait()
		assert.Equal(t, want, d.Lines())
		require.NoError(t, s.Shutdown())
	})
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Takes: 70 * time.Minute}
		s, err := after(t.Context(), memory.New(), d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(100 * time.Minute)
		synctest.Wait()
		assert.Equal(t, want, d.Lines())
		skipped, err := s.Runs(t.Context(), punctual.RunQuery{TaskID: "sync", States: []punctual.State{punctual.StateSkipped}})
		require.NoError(t, err)
		require.Len(t, skipped, 1, "and the ledger says what became of the other two")
		assert.Equal(t, int64(2), skipped[0].Count)
		assert.Equal(t, punctual.ReasonOverlap, skipped[0].Reason)
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestShutdownCancelsThereAndWaitsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Takes: 10 * time.Minute}
		s, err := before(d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		require.NoError(t, s.Shutdown())
		assert.Equal(t, []string{"Sat 00:00 sync crm", "Sat 00:05 sync canceled"}, d.Lines())
	})
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Takes: 10 * time.Minute}
		s, err := after(t.Context(), memory.New(), d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, []string{"Sat 00:00 sync crm"}, d.Lines())
		assert.Equal(t, "00:10", time.Now().UTC().Format("15:04"), "it waited for the run to end")
	})
}

// What a process that starts anew finds: nothing there, and here the tasks that are registered already.
func TestARestartRunsAtOnceThereAndNotHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(work.Diary)
		for range 2 {
			s, err := before(d, work.Berlin())
			require.NoError(t, err)
			time.Sleep(10 * time.Minute)
			require.NoError(t, s.Shutdown())
		}
		assert.Equal(t, []string{"Sat 00:00 sync crm", "Sat 00:10 sync crm"}, d.Lines())
	})
	synctest.Test(t, func(t *testing.T) {
		d, store := new(work.Diary), memory.New() // handed on, as a durable store would be
		for range 2 {
			s, err := after(t.Context(), store, d, work.Berlin())
			require.NoError(t, err)
			time.Sleep(10 * time.Minute)
			require.NoError(t, s.Shutdown(t.Context()))
		}
		assert.Equal(t, []string{"Sat 00:00 sync crm"}, d.Lines(), "the next is due at 00:30")
	})
}
