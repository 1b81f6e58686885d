package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/postgres"
)

// addDue adds a task that has been due since then, which is counted from the beginning of the test's time.
func addDue(t *testing.T, s *postgres.Store, id string, priority int, due time.Duration) {
	t.Helper()
	at := time.Unix(1e9, 0).Add(due)
	_, err := s.Edit(t.Context(), punctual.EditRequest{TaskID: id, Decide: func(punctual.View) (punctual.Change, error) {
		return punctual.Change{
			Task:   &punctual.Task{ID: id, Priority: priority, Schedule: punctual.Every(time.Hour), Revision: 1},
			Status: &punctual.Status{Anchor: at, NextRunAt: at},
		}, nil
	}})
	require.NoError(t, err)
}

// taking is a claim that somebody may hold up when it has locked and read what it takes. It moves tasks on and starts nothing.
type taking struct {
	reached, goOn chan struct{}
	err           error // how it fails after it has decided
	tasks         []string
	reply         punctual.ClaimReply
	ended         chan error
}

func take(t *testing.T, s *postgres.Store, limit int, held bool) *taking {
	t.Helper()
	c := &taking{reached: make(chan struct{}, 1), goOn: make(chan struct{}), ended: make(chan error, 1)}
	if !held {
		close(c.goOn)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		reply, err := s.Claim(ctx, punctual.ClaimRequest{Limit: limit, Decide: func(v punctual.View) (punctual.Change, error) {
			select {
			case c.reached <- struct{}{}:
				<-c.goOn
			default:
			}
			if c.err != nil {
				cancel()
			}
			c.tasks = append(c.tasks, v.Record.Task.ID)
			status := v.Record.Status
			status.LastOccurrence, status.NextRunAt = status.NextRunAt, v.Now.Add(time.Hour)
			run := punctual.Run{
				ID: "run-" + v.Record.Task.ID, TaskID: v.Record.Task.ID, Trigger: punctual.TriggerSchedule, ScheduledAt: status.LastOccurrence, Count: 1, Attempt: 1,
				State: punctual.StateRunning, StartedAt: v.Now, CreatedAt: v.Now, Revision: 1,
			}
			return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
		}})
		c.reply = reply
		c.ended <- err
	}()
	if held {
		<-c.reached
	} else {
		require.NoError(t, c.wait())
	}
	return c
}

func (c *taking) wait() error {
	err := <-c.ended
	c.ended <- err
	return err
}

func (c *taking) letGo() error {
	close(c.goOn)
	return c.wait()
}

func (c *taking) moreIsDue() bool {
	return !c.reply.NextDue.IsZero() && !c.reply.NextDue.After(c.reply.Now)
}

// A claim begins behind what another one of the store has taken and not committed yet, in each lane. What is due before that is not lost sight of: the
// claim says that more is due, and the next takes it.
func TestAClaimBeginsBehindTheOneUnderWay(t *testing.T) {
	s := open(t, newSchema(t))
	for i := range 6 {
		addDue(t, s, fmt.Sprintf("low%d", i), 0, time.Duration(i)*time.Second)
		addDue(t, s, fmt.Sprintf("high%d", i), 1, time.Duration(i)*time.Second)
	}
	first := take(t, s, 4, true)
	addDue(t, s, "between", 1, 1500*time.Millisecond) // among what the first has taken, though nobody has it
	addDue(t, s, "urgent", 2, 5*time.Second)
	second := take(t, s, 3, true)
	require.NoError(t, first.letGo())
	assert.Equal(t, []string{"high0", "high1", "high2", "high3"}, first.tasks)
	assert.True(t, first.moreIsDue())
	third := take(t, s, 2, false)
	assert.Equal(t, []string{"between"}, third.tasks, "the first is over, so its stretch is looked at again")
	require.NoError(t, second.letGo())
	assert.Equal(t, []string{"urgent", "high4", "high5"}, second.tasks)
	assert.True(t, second.moreIsDue())
	assert.Equal(t, []string{"low0", "low1", "low2", "low3", "low4", "low5"}, take(t, s, 10, false).tasks)
}

// When all there is has been taken by another claim, or stands before the end of what it has taken, something is still due.
func TestAClaimThatFindsAllTakenSaysThatMoreIsDue(t *testing.T) {
	s := open(t, newSchema(t))
	addDue(t, s, "a", 0, 0)
	addDue(t, s, "c", 0, 2*time.Minute)
	first := take(t, s, 4, true)
	second := take(t, s, 4, false)
	assert.Empty(t, second.tasks)
	assert.True(t, second.moreIsDue())
	addDue(t, s, "b", 0, time.Minute)
	second = take(t, s, 4, false)
	assert.Empty(t, second.tasks)
	assert.True(t, second.moreIsDue())
	require.NoError(t, first.letGo())
	assert.Equal(t, []string{"b"}, take(t, s, 4, false).tasks)
}

// What a claim has taken in vain is taken by the next.
func TestWhatAClaimTookInVainIsTakenByTheNext(t *testing.T) {
	s := open(t, newSchema(t))
	for i := range 4 {
		addDue(t, s, fmt.Sprint("t", i), 0, time.Duration(i)*time.Second)
	}
	first := take(t, s, 2, true)
	first.err = errors.New("the caller goes away")
	second := take(t, s, 2, false)
	assert.Equal(t, []string{"t2", "t3"}, second.tasks)
	assert.True(t, second.moreIsDue())
	require.Error(t, first.letGo())
	next := take(t, s, 4, false)
	for len(next.tasks) == 0 && next.moreIsDue() { // the server may not have noticed yet that the caller went away
		next = take(t, s, 4, false)
	}
	assert.Equal(t, []string{"t0", "t1"}, next.tasks)
}

// Few connections are left to the calls that are made one at a time.
func TestClaimsDoNotOverlapInASmallPool(t *testing.T) {
	connect(t)
	for conns, want := range map[int32]bool{3: false, 4: true} {
		config, err := pgxpool.ParseConfig(dsn)
		require.NoError(t, err)
		config.MaxConns = conns
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		s, err := postgres.New(t.Context(), pool, postgres.WithSchema(newSchema(t)))
		require.NoError(t, err)
		assert.Equal(t, want, s.ClaimsOverlap())
		require.NoError(t, s.Close())
		pool.Close()
	}
}
