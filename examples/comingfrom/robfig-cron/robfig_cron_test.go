package robfigcron

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"
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

func TestBothWaitForTheFirstTime(t *testing.T) {
	want := []string{"Mon 07:15 sync crm", "Mon 07:45 sync crm", "Mon 08:00 report", "Mon 08:15 sync crm"}
	synctest.Test(t, func(t *testing.T) {
		work.Monday()
		d := new(work.Diary)
		c, err := before(t.Context(), d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(100 * time.Minute)
		<-c.Stop().Done()
		assert.Equal(t, want, d.Lines())
	})
	synctest.Test(t, func(t *testing.T) {
		work.Monday()
		d := new(work.Diary)
		s, err := after(t.Context(), memory.New(), d)
		require.NoError(t, err)
		time.Sleep(100 * time.Minute)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, want, d.Lines())
	})
}

func TestASlowRunIsNotOverlapped(t *testing.T) {
	want := []string{"Sat 00:30 sync crm", "Sat 02:00 sync crm"}
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Takes: 70 * time.Minute}
		c, err := before(t.Context(), d, work.Berlin())
		require.NoError(t, err)
		time.Sleep(130 * time.Minute)
		<-c.Stop().Done()
		assert.Equal(t, want, d.Lines())
	})
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Takes: 70 * time.Minute, Fails: errors.New("503")}
		s, err := after(t.Context(), memory.New(), d)
		require.NoError(t, err)
		time.Sleep(130 * time.Minute)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, want, d.Lines())
		runs, err := s.Runs(t.Context(), punctual.RunQuery{TaskID: "sync"})
		require.NoError(t, err)
		var states []string
		for _, run := range runs { // newest first
			states = append(states, run.State.String())
		}
		assert.Equal(t, []string{"failed", "skipped", "failed"}, states, "a failure is a fact in the ledger, and so are the two that were skipped")
		assert.Equal(t, "503", runs[0].Error)
	})
}

// While both processes are down from 00:40 to 03:10, five syncs go by.
func TestADowntimeIsForgottenThereAndCaughtUpHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(work.Diary)
		for range 2 {
			c, err := before(t.Context(), d, work.Berlin())
			require.NoError(t, err)
			time.Sleep(40 * time.Minute)
			<-c.Stop().Done()
			time.Sleep(150 * time.Minute)
		}
		assert.Equal(t, []string{"Sat 00:30 sync crm", "Sat 03:40 sync crm"}, d.Lines(), "it counts from the start")
	})
	synctest.Test(t, func(t *testing.T) {
		d, store := new(work.Diary), memory.New() // handed on, as a durable store would be
		for range 2 {
			s, err := after(t.Context(), store, d)
			require.NoError(t, err)
			time.Sleep(40 * time.Minute)
			require.NoError(t, s.Shutdown(t.Context()))
			time.Sleep(150 * time.Minute)
		}
		assert.Equal(t, []string{"Sat 00:30 sync crm", "Sat 03:10 sync crm", "Sat 03:30 sync crm"}, d.Lines(), "one run for what was missed, then on the grid again")
	})
}

// On 2000-03-26 Berlin has no 02:30.
func TestTheCalendarRunsOnTheNightThatHasNoSuchTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2000, time.March, 25, 12, 0, 0, 0, time.UTC)))
		there, here := new(work.Diary), new(work.Diary)
		c := cron.New(cron.WithLocation(work.Berlin()))
		_, err := c.AddFunc("30 2 * * *", func() { _ = there.Report(t.Context()) })
		require.NoError(t, err)
		both(t.Context(), c, here)
		c.Start()
		time.Sleep(48 * time.Hour)
		<-c.Stop().Done()
		assert.Equal(t, []string{"Mon 00:30 report"}, there.Lines())
		assert.Equal(t, []string{"Sun 01:00 report", "Mon 00:30 report"}, here.Lines())
	})
}
