package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/foresight"
)

func TestAStoreWithForesightPassesEachCase(t *testing.T) {
	for _, c := range append(direct(), prepareCases...) {
		for _, complaint := range judge(c, foresight.New()) {
			t.Errorf("%s: %s", c.name, complaint)
		}
	}
}

// shortsighted is a store with foresight and one fault.
type shortsighted struct {
	*foresight.Store
	edit    func(context.Context, punctual.EditRequest) (punctual.EditReply, error)
	claim   func(context.Context, punctual.ClaimRequest) (punctual.ClaimReply, error)
	request func(*punctual.PrepareRequest)
	spoil   func(req punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared
}

func (s *shortsighted) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	return s.edit(ctx, req)
}

func (s *shortsighted) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	return s.claim(ctx, req)
}

func (s *shortsighted) Prepare(ctx context.Context, req punctual.PrepareRequest) (punctual.Prepared, error) {
	s.request(&req)
	p, err := s.Store.Prepare(ctx, req)
	if p == nil {
		return nil, err
	}
	return s.spoil(req, p), err
}

// spoiled is a prepared claim some of whose calls do something else.
type spoiled struct {
	punctual.Prepared
	extend func(ctx context.Context, limit int) error
	commit func(ctx context.Context, now time.Time) (punctual.ClaimReply, error)
	cancel func(context.Context)
}

func (p *spoiled) Extend(ctx context.Context, limit int) error { return p.extend(ctx, limit) }
func (p *spoiled) Cancel(ctx context.Context)                  { p.cancel(ctx) }
func (p *spoiled) Commit(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
	return p.commit(ctx, now)
}

// prepareMutants are faults of a store that makes claims ahead, each by the case that has to notice it.
var prepareMutants = map[string]func(*shortsighted){
	"starts at its instant": func(s *shortsighted) { // it is committed at once
		s.spoil = func(req punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared {
			reply, err := p.Commit(context.Background(), req.At)
			return &spoiled{commit: func(context.Context, time.Time) (punctual.ClaimReply, error) { return reply, err }}
		}
	},
	"takes what is free": func(s *shortsighted) { // kinds that are left out are not
		s.request = func(req *punctual.PrepareRequest) { req.Without = nil }
	},
	"is extended": func(s *shortsighted) { // the limit does not count
		s.spoil = func(_ punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared {
			return &spoiled{extend: func(ctx context.Context, _ int) error { return p.Extend(ctx, 100) }, commit: p.Commit}
		}
	},
	"is cancelled": func(s *shortsighted) { // tasks stay locked
		s.spoil = func(_ punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared {
			return &spoiled{cancel: func(context.Context) {}}
		}
		s.edit = s.Store.Shared.Edit
	},
	"waits for the store's clock": func(s *shortsighted) { // the clock is not looked at
		s.spoil = func(req punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared {
			return &spoiled{commit: func(ctx context.Context, _ time.Time) (punctual.ClaimReply, error) { return p.Commit(ctx, req.At) }}
		}
	},
	"lets edits wait": func(s *shortsighted) { // an edit comes first though the task is locked
		s.edit = s.Store.Shared.Edit
		s.spoil = func(_ punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared {
			edited := make(chan struct{})
			s.edit = func(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
				defer close(edited)
				return s.Store.Shared.Edit(ctx, req)
			}
			return &spoiled{commit: func(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
				<-edited
				return p.Commit(ctx, now)
			}}
		}
	},
	"belongs to a session": func(s *shortsighted) { // any will do
		s.request = func(req *punctual.PrepareRequest) { req.Session = "" }
	},
	"meets others": func(s *shortsighted) { // claims take what is locked, and the commit tells of it all the same
		locked, claimed := make(chan struct{}), make(chan struct{})
		lock, claim := sync.OnceFunc(func() { close(locked) }), sync.OnceFunc(func() { close(claimed) })
		s.claim = func(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			<-locked
			defer claim()
			return s.Store.Shared.Claim(ctx, req)
		}
		s.spoil = func(_ punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared {
			lock()
			return &spoiled{commit: func(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
				<-claimed
				reply, err := p.Commit(ctx, now)
				reply.Started = append(reply.Started, make([]punctual.Run, reply.Decided-len(reply.Started))...)
				return reply, err
			}}
		}
	},
}

// Each case about claims made ahead fails on a store that has the fault which it looks for.
func TestBrokenStoresFailTheCasesOfClaimsMadeAhead(t *testing.T) {
	for _, c := range prepareCases {
		spoil, ok := prepareMutants[c.name]
		if !ok {
			t.Errorf("no broken store is made for %s", c.name)
			continue
		}
		s := &shortsighted{Store: foresight.New()}
		s.edit, s.claim, s.request = s.Store.Edit, s.Store.Claim, func(*punctual.PrepareRequest) {}
		s.spoil = func(_ punctual.PrepareRequest, p punctual.Prepared) punctual.Prepared { return p }
		spoil(s)
		complaints := judge(c, s)
		if len(complaints) == 0 {
			t.Errorf("%s passes on a broken store", c.name)
			continue
		}
		t.Logf("%s: %s", c.name, complaints[0])
	}
}
