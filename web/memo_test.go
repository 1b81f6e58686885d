package web

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemoLoadsOnceForAllWhoAskAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemo[int](clock.New(), time.Second)
		var loads atomic.Int32
		load := func(context.Context, int) (int, error) {
			time.Sleep(time.Minute)
			return int(loads.Add(1)), nil
		}
		for range 20 {
			go func() {
				v, err := m.get(t.Context(), "a", load)
				assert.NoError(t, err)
				assert.Equal(t, 1, v)
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		time.Sleep(10*time.Minute - time.Nanosecond)
		v, err := m.get(t.Context(), "a", load)
		require.NoError(t, err)
		assert.Equal(t, 1, v, "kept for ten times as long as it took")
		time.Sleep(time.Nanosecond)
		v, err = m.get(t.Context(), "a", func(_ context.Context, last int) (int, error) { return last + 100, nil })
		require.NoError(t, err)
		assert.Equal(t, 101, v, "the load gets what was kept last")
	})
}

func TestMemoSurvivesALoadThatFailsPanicsOrIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemo[int](clock.New(), time.Second)
		_, err := m.get(t.Context(), "a", func(context.Context, int) (int, error) { return 7, errors.New("boom") })
		require.Error(t, err)
		assert.Panics(t, func() { _, _ = m.get(t.Context(), "a", func(context.Context, int) (int, error) { panic("boom") }) })

		release := make(chan struct{})
		go func() {
			_, err := m.get(t.Context(), "a", func(context.Context, int) (int, error) { <-release; return 0, errors.New("late") })
			assert.Error(t, err)
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error)
		go func() { _, err := m.get(ctx, "a", nil); given <- err }()
		synctest.Wait()
		cancel()
		assert.ErrorIs(t, <-given, context.Canceled)

		got := make(chan int)
		go func() {
			v, _ := m.get(t.Context(), "a", func(context.Context, int) (int, error) { return 8, nil })
			got <- v
		}()
		synctest.Wait()
		close(release)
		assert.Equal(t, 8, <-got, "who waited loads itself when the load failed")
	})
}

func TestMemoForgetsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemo[int](clock.New(), time.Second)
		for i := range 10 * maxEntries {
			_, err := m.get(t.Context(), string(rune(i)), func(context.Context, int) (int, error) { return i, nil })
			require.NoError(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		assert.LessOrEqual(t, len(m.entries), maxEntries)
	})
}

func TestTextIsMadeReadable(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä 日本 👩‍👩‍👧": "plain ä 日本 👩‍👩‍👧", "a\tb\n": "a␉b␊", "\x1b[31m\x00\x7f": "␛[31m␀␡", "\u202Etxt": "⟨U+202E⟩txt", "\xff\xfeok": "\uFFFDok", "\u0085": "⟨U+0085⟩",
	} {
		assert.Equal(t, want, readable(in))
	}
	assert.Equal(t, "a\n\tb␛", readableText("a\r\n\tb\x1b"))
	assert.Equal(t, "ä", clip("ää", 3))
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 450 * time.Microsecond: "450 µs", 1500 * time.Microsecond: "1 ms", 2300 * time.Millisecond: "2.3 s", 42 * time.Second: "42 s", 90 * time.Second: "1 min 30 s",
		time.Hour: "1 h", 25*time.Hour + 3*time.Minute: "1 d 1 h", -3 * time.Second: "−3 s",
	} {
		assert.Equal(t, want, duration(d))
	}
	assert.Equal(t, "1\u202F234\u202F567", number(1234567))
	assert.Equal(t, "999", number(999))
}
