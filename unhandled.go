package punctual

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

const (
	// unhandledAfter is for how long something of a kind is due before the kind counts as one that nobody handles: in a rolling upgrade its
	// instances may be on their way.
	unhandledAfter = time.Minute
	// unhandledEvery is how often an instance looks for such kinds. Housekeeping does, so that neither a claim nor Health pays for it.
	unhandledEvery = 30 * time.Second
	// unhandledNamed is how many of them a reason of Health names.
	unhandledNamed = 5
)

// handled are the kinds that this instance handles; nil means all.
func (s *Scheduler) handled() []string {
	if s.kinds == nil {
		return nil
	}
	return s.kinds.Kinds()
}

// findUnhandled looks for kinds of which something is due for long and that no live instance handles. Whoever handles all kinds is proof enough
// that there are none, and who handles all that is due need not ask who else there is.
func (s *Scheduler) findUnhandled() {
	var found []Overdue
	if own := s.handled(); own != nil {
		var err error
		if found, err = s.unhandledBeside(own); err != nil {
			s.storeFailed(err)
			return
		}
		s.storeWorks()
	}
	s.mu.Lock()
	before := s.overdue
	s.overdue = found
	s.mu.Unlock()
	for _, o := range found {
		if !slices.ContainsFunc(before, func(b Overdue) bool { return b.Kind == o.Kind }) {
			s.log(context.Background(), slog.LevelWarn, "due work waits, since no live instance handles its kind",
				slog.String("kind", o.Kind), slog.Time("due_since", o.Since))
		}
	}
}

// unhandledBeside asks the store what is overdue besides some kinds, and then who else is there.
func (s *Scheduler) unhandledBeside(own []string) ([]Overdue, error) {
	req := OverdueRequest{Now: s.storeNow(), For: unhandledAfter}
	overdue, err := bounded(s.engineContext(), s, s.storeTimeout, "overdue", func(ctx context.Context) ([]Overdue, error) { return s.store.Overdue(ctx, req) })
	found := besides(overdue, own)
	if err != nil || len(found) == 0 || s.leaser == nil || s.isStopping() {
		return found, err
	}
	others, err := bounded(s.engineContext(), s, s.storeTimeout, "instances", s.leaser.Instances)
	for i := range others {
		found = besides(found, others[i].Kinds)
	}
	return found, err
}

// besides returns those of the overdue kinds that are none of the given ones; nil stands for all kinds.
func besides(overdue []Overdue, kinds []string) []Overdue {
	var found []Overdue
	for _, o := range overdue {
		if kinds != nil && !slices.Contains(kinds, o.Kind) {
			found = append(found, o)
		}
	}
	return found
}

// unhandledText tells people which kinds wait, and since when.
func unhandledText(found []Overdue) string {
	var words []string
	for _, o := range found[:min(len(found), unhandledNamed)] {
		words = append(words, fmt.Sprintf("%q since %s", o.Kind, o.Since.UTC().Format(time.RFC3339)))
	}
	if more := len(found) - unhandledNamed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}
