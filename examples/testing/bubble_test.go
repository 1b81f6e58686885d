package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/punctualtest"
)

// The second style: in a synctest bubble the real clock is a fake one, for all code. It fits whatever waits for time in its own way,
// such as the ticker of the count.

func TestCountAsksEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{warehouse: &slowWarehouse{takes: 4 * time.Minute}}
		h := punctualtest.New(t, s.executor())
		ensure(t, h, s.tasks()[1])
		h.Advance(20 * time.Minute)
		h.AssertLedger("count", "register +0s succeeded", "schedule +15m succeeded")
		if got := h.Ledger("count")[0].Result.Output; got != "counted within 4 min" {
			t.Error(got)
		}
	})
}

func TestCountEndsWithItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{warehouse: &slowWarehouse{takes: 24 * time.Hour}}
		h := punctualtest.New(t, s.executor())
		ensure(t, h, s.tasks()[1])
		h.Advance(41 * time.Minute)
		h.AssertLedger("count", "register +0s failed (timeout)", "schedule +15m..+30m skipped x2 (overlap)")
	})
}

// The whole program, as main runs it: the bubble needs no Harness.
func TestTheProgramStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mailed := 0
		s := &shop{
			mail:      func(context.Context, string) error { mailed++; return nil },
			warehouse: &slowWarehouse{takes: 10 * time.Minute},
		}
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() { stopped <- run(ctx, s) }()
		time.Sleep(7 * 24 * time.Hour)
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if mailed != 5 {
			t.Errorf("mailed %d times in a week", mailed)
		}
	})
}

// slowWarehouse is done some time after it was asked.
type slowWarehouse struct {
	takes time.Duration
	began time.Time
}

func (w *slowWarehouse) Begin(ctx context.Context) error {
	if _, ok := punctual.RunFromContext(ctx); !ok {
		panic("not in a run")
	}
	w.began = time.Now()
	return nil
}

func (w *slowWarehouse) Done(context.Context) (bool, error) {
	return time.Since(w.began) >= w.takes, nil
}
