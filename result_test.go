package punctual_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// What an executor hands back is made fit for the ledger: text of bounded length that every store and page can hold, and facts that are JSON.
func TestTheLedgerKeepsWhatFitsAndSaysWhatItCut(t *testing.T) {
	large := json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`)
	tests := []struct {
		name     string
		limit    int
		result   punctual.Result
		output   string
		facts    json.RawMessage
		isFailed bool
	}{
		{name: "nothing", limit: 10},
		{name: "as long as the limit", limit: 10, result: punctual.Result{Output: "0123456789"}, output: "0123456789"},
		{name: "a byte more", limit: 10, result: punctual.Result{Output: "0123456789a"}, output: "0123456789… [cut, 11 bytes in all]"},
		{name: "never within a character", limit: 10, result: punctual.Result{Output: "012345678äöü"}, output: "012345678… [cut, 15 bytes in all]"},
		{name: "no valid text", limit: 100, result: punctual.Result{Output: "a\xff\xfeb"}, output: "a\uFFFDb"},
		{
			name: "64 KiB unless the host says otherwise", result: punctual.Result{Output: strings.Repeat("ä", 1<<20)},
			output: strings.Repeat("ä", 32<<10) + "… [cut, 2097152 bytes in all]",
		},
		{name: "facts", limit: 10, result: punctual.Result{Facts: json.RawMessage(`{"tokens":7}`)}, facts: json.RawMessage(`{"tokens":7}`)},
		{name: "facts that are no JSON", limit: 10, result: punctual.Result{Output: "ok", Facts: json.RawMessage(`{"tokens":`)}, output: "ok [facts dropped: not JSON]"},
		{name: "facts that are too large", limit: 10, result: punctual.Result{Output: "ok", Facts: large}, output: "ok [facts dropped: too large]"},
		{
			name: "also of an attempt that failed", limit: 4, isFailed: true,
			result: punctual.Result{Output: "halfway", Facts: json.RawMessage(`1`)}, output: "half… [cut, 7 bytes in all]", facts: json.RawMessage(`1`),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var options []punctual.Option
				if test.limit > 0 {
					options = append(options, punctual.WithOutputLimit(test.limit))
				}
				w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
					if test.isFailed {
						return test.result, errors.New("boom")
					}
					return test.result, nil
				}, options...).start()
				w.add(hourly("t"))
				w.wait(time.Second)
				kept := w.ledger("t")[0]
				assert.Equal(t, test.isFailed, kept.State == punctual.StateFailed)
				assert.Equal(t, test.output, kept.Result.Output)
				assert.Equal(t, test.facts, kept.Result.Facts)
				w.stop()
			})
		})
	}
}

func TestAHugeErrorHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
			return punctual.Result{}, errors.New("boom \xff" + strings.Repeat("ä", 1<<20))
		}).start()
		w.add(hourly("t"))
		w.wait(time.Second)
		kept := w.ledger("t")[0]
		assert.True(t, strings.HasPrefix(kept.Error, "boom \uFFFDää"))
		assert.True(t, utf8.ValidString(kept.Error))
		assert.Less(t, len(kept.Error), 10<<10)
		assert.Less(t, len(w.logs.String()), 20<<10, "nor does it fill the log")
		w.stop()
	})
}

// Operators see the cluster: who is there, in which version, since when, how busy.
func TestAnInstanceAnnouncesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Hour), punctual.WithInstance("ada"), punctual.WithVersion("1.4.2")).start()
		w.add(hourly("t"))
		w.add(hourly("u"))
		w.wait(time.Minute)
		all, err := w.s.Instances(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		assert.Equal(t, "ada", all[0].Name)
		assert.Equal(t, "1.4.2", all[0].Version)
		assert.Equal(t, 2, all[0].InFlight)
		assert.Equal(t, w.begin.UTC(), all[0].StartedAt)
		assert.LessOrEqual(t, time.Since(all[0].LastSeenAt), punctual.DefaultLease/3, "a beat each third of the lease")
		assert.Equal(t, all[0].LastSeenAt.Add(punctual.DefaultLease), all[0].ExpiresAt)
		assert.Zero(t, all[0].ClockOffset)
		_ = w.s.Close()
		w.wait(time.Second)
		all, err = w.s.Instances(t.Context())
		require.NoError(t, err)
		assert.Empty(t, all, "who has gone takes its leave")
	})
}
