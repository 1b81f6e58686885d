package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/punctualtest"
)

// The first style: the Harness has a clock of its own, and the test moves it. It fits executors that do their work and return, as the
// digest does, and scripted ones.

func TestDigestIsMailedOnWorkingMornings(t *testing.T) {
	var subjects []string
	s := &shop{mail: func(_ context.Context, subject string) error {
		subjects = append(subjects, subject)
		return nil
	}}
	friday := time.Date(2027, time.March, 26, 0, 0, 0, 0, time.UTC) // the clock goes forward on Sunday
	h := punctualtest.Config{Start: friday}.New(t, s.executor())
	ensure(t, h, s.tasks()[0])
	h.Advance(4 * 24 * time.Hour)
	h.AssertLedger("digest",
		"schedule +7h succeeded",  // 08:00 in Berlin on Friday
		"schedule +78h succeeded") // and on Monday, an hour sooner for the rest of the world
	if want := []string{"Orders until 2027-03-26", "Orders until 2027-03-29"}; !slices.Equal(subjects, want) {
		t.Errorf("mailed %q", subjects)
	}
}

func TestDigestIsTriedAgainWhenTheMailIsDown(t *testing.T) {
	down := true
	s := &shop{mail: func(context.Context, string) error {
		if down {
			return errors.New("mail is down")
		}
		return nil
	}}
	h := punctualtest.Config{Start: time.Date(2027, time.March, 1, 7, 0, 0, 0, time.UTC)}.New(t, s.executor()) // 08:00 in Berlin
	ensure(t, h, s.tasks()[0])
	asked, err := h.RunNow(t.Context(), "digest")
	if err != nil {
		t.Fatal(err)
	}
	h.Settle()
	h.AssertRun(asked.ID, punctual.StatePending) // waits for its second attempt
	down = false
	h.Advance(5 * time.Minute)
	h.AssertLedger("digest", "manual +0s succeeded after 2 attempts")
}

// What the tasks do when their work is slow can be tested without the work.
func TestCountsDoNotPileUpBehindASlowOne(t *testing.T) {
	script := new(punctualtest.Script).On("count", punctualtest.Take(38*time.Minute, nil), punctualtest.Take(time.Hour, nil))
	h := punctualtest.New(t, script)
	ensure(t, h, new(shop).tasks()[1])
	h.Advance(100 * time.Minute)
	h.AssertLedger("count",
		"register +0s succeeded",
		"schedule +15m..+30m skipped x2 (overlap)",
		"schedule +45m failed (timeout)", // after 40 minutes
		"schedule +1h..+75m skipped x2 (overlap)",
		"schedule +90m running")
}

func ensure(t *testing.T, h *punctualtest.Harness, tasks ...punctual.Task) {
	t.Helper()
	for _, task := range tasks {
		if err := h.Ensure(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
}
