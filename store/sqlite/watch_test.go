package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// hearing counts the hints that a store gives, until the test ends.
func hearing(t *testing.T, s *Store) (hints func() int, ended chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan struct{}, 1000)
	ended = make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func() { heard <- struct{}{} }) }()
	t.Cleanup(cancel)
	return func() (n int) {
		time.Sleep(2 * DefaultPollInterval)
		synctest.Wait()
		for ; len(heard) > 0; n++ {
			<-heard
		}
		return n
	}, ended
}

// A second handle onto the file stands for another process.
func TestAProcessHearsOfEditsOfOthersAndOfNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tasks.db")
		open := func(opts ...Option) *Store {
			s, err := Open(context.Background(), path, opts...)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			return s
		}
		ours, theirs, off := open(), open(), open(WithPollInterval(0))
		n := 0
		edit := func(s punctual.Editor, c punctual.Change) {
			t.Helper()
			n++
			id := fmt.Sprintf("task-%d", n)
			c.Task = &punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}
			if c.Status == nil {
				c.Status = &punctual.Status{NextRunAt: time.Now()}
			}
			_, err := s.Edit(context.Background(), punctual.EditRequest{TaskID: id, Decide: func(punctual.View) (punctual.Change, error) { return c, nil }})
			require.NoError(t, err)
		}
		beat := func(s *Store) {
			t.Helper()
			_, err := s.Beat(context.Background(), punctual.BeatRequest{Session: "s", Instance: "i", Lease: time.Hour})
			require.NoError(t, err)
		}
		hints, _ := hearing(t, ours)
		deaf, _ := hearing(t, off)
		assert.Equal(t, 1, hints(), "of what was there before")
		edit(ours, punctual.Change{})
		beat(ours)
		assert.Zero(t, hints(), "what it does itself")
		edit(theirs, punctual.Change{})
		assert.Equal(t, 1, hints(), "another's edit")
		edit(theirs, punctual.Change{})
		edit(theirs, punctual.Change{})
		assert.LessOrEqual(t, hints(), 2, "edits between two looks are one hint")
		beat(theirs)
		edit(theirs, punctual.Change{Status: &punctual.Status{}})
		assert.Zero(t, hints(), "what makes nothing due")

		host, err := sql.Open("sqlite", path+"?_txlock=immediate")
		require.NoError(t, err)
		defer host.Close()
		tx, err := host.Begin()
		require.NoError(t, err)
		edit(ours.Tx(tx), punctual.Change{})
		assert.Zero(t, hints(), "a transaction of the host before its commit")
		require.NoError(t, tx.Commit())
		assert.Equal(t, 1, hints(), "a transaction of the host")

		others, _ := hearing(t, ours)
		assert.Equal(t, 1, others())
		edit(ours, punctual.Change{})
		assert.Equal(t, 1, hints(), "of two Schedulers over one handle")
		assert.Equal(t, 1, others(), "of two Schedulers over one handle")
		assert.Zero(t, deaf(), "without an interval")
	})
}

func TestWatchEndsWithAnErrorWhenTheStoreIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(context.Background(), filepath.Join(t.TempDir(), "tasks.db"))
		require.NoError(t, err)
		hints, ended := hearing(t, s)
		hints()
		require.NoError(t, s.Close())
		hints()
		require.Error(t, <-ended)
	})
}
