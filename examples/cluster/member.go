package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
)

// What a member is told by its environment.
const (
	memberVariable = "PUNCTUAL_CLUSTER_MEMBER" // its name
	dsnVariable    = "PUNCTUAL_CLUSTER_DSN"
	leaseVariable  = "PUNCTUAL_CLUSTER_LEASE"
)

// note is a line that a member prints: an attempt has begun or ended in host code. What was written to the pipe outlives the member.
type note struct {
	Member  string    `json:"member"`
	Event   string    `json:"event"` // "ready", "begin", "end" or "stopped"
	RunID   string    `json:"run,omitempty"`
	TaskID  string    `json:"task,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	At      time.Time `json:"at"`
}

// member is the main function of one instance. It works until its standard input ends, as it does when the parent process ends.
func member() error {
	ctx := context.Background()
	lease, err := time.ParseDuration(os.Getenv(leaseVariable))
	if err != nil {
		return err
	}
	st, err := open(ctx, os.Getenv(dsnVariable))
	if err != nil {
		return err
	}
	defer st.Close()
	name := os.Getenv(memberVariable)
	out := json.NewEncoder(os.Stdout)
	var mu sync.Mutex
	tell := func(event string, run punctual.Run) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(note{name, event, run.ID, run.TaskID, run.Attempt, time.Now()}) // without a parent there is nobody to tell
	}
	s, err := punctual.New(st, recorder(tell), punctual.WithInstance(name), punctual.WithLease(lease))
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	tell("ready", punctual.Run{})
	_, _ = io.Copy(io.Discard, os.Stdin)
	err = s.Shutdown(ctx)
	tell("stopped", punctual.Run{})
	return err
}

// recorder tells of each attempt, and takes as long as its payload says.
func recorder(tell func(event string, run punctual.Run)) punctual.Executor {
	return punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		tell("begin", run)
		var takes time.Duration
		if err := json.Unmarshal(run.Payload, &takes); err != nil {
			return punctual.Result{}, punctual.Permanent(err)
		}
		select {
		case <-time.After(takes):
			tell("end", run)
			return punctual.Result{}, nil
		case <-ctx.Done():
			return punctual.Result{}, context.Cause(ctx)
		}
	})
}
