package punctual

import (
	"iter"
	"runtime"
	"time"
)

// The crew are the goroutines that work on attempts. One that has worked on an attempt takes the next that waits, if there is one, so that
// a burst of short runs needs a few goroutines and not one for each run: those would each begin with the smallest stack, and the time
// went into their growth. No attempt waits for the end of another, though: before a goroutine enters host code, which may take for ever, it
// sees to it that another one is on its way to whatever still waits.
//
// What an attempt needs in flight is made by the goroutine that works on it and not by the loop, which has enough to do in a burst.
type crew struct {
	first, last *flight      // attempts that wait for a goroutine, oldest first, linked by flight.behind
	groups      []group      // runs behind them that wait without a flight, oldest first; none of them is empty
	coming      bool         // a goroutine is on its way; always, while an attempt waits
	idle        []*flight    // that nobody needs any more
	spare       []group      // room for groups
	contexts    []runContext // for the next flights
}

// group are the runs that one claim has started, as far as they have no flights yet, with what each has from its task.
type group struct {
	runs     []Run
	conducts []conduct
	next     int
}

// spareGroups is how many groups are kept for their room: more do not wait, see giveWay.
const spareGroups = 2

func (c *crew) waits() bool { return c.first != nil || len(c.groups) > 0 }

func (c *crew) push(f *flight) {
	if c.first == nil {
		c.first = f
	} else {
		c.last.behind = f
	}
	c.last = f
}

// popLocked takes the attempt that has waited longest; nil when none waits.
func (s *Scheduler) popLocked() *flight {
	c := &s.crew
	if f := c.first; f != nil {
		c.first, f.behind = f.behind, nil
		return f
	}
	return s.boardLocked()
}

// boardLocked makes a flight of the next run of a group; nil when there is none.
func (s *Scheduler) boardLocked() *flight {
	c := &s.crew
	if len(c.groups) == 0 {
		return nil
	}
	g := &c.groups[0]
	run := &g.runs[g.next]
	f := s.prepareLocked(run, &g.conducts[g.next])
	*run = Run{} // its room is kept, and not what it held
	if g.next++; g.next == len(g.runs) {
		c.keep(*g)
		last := copy(c.groups, c.groups[1:])
		c.groups[last] = group{}
		c.groups = c.groups[:last]
	}
	return f
}

// allFlightsLocked yields the attempts in flight, also those whose goroutine has not come yet: they get their flights before.
func (s *Scheduler) allFlightsLocked() iter.Seq[*flight] {
	for f := s.boardLocked(); f != nil; f = s.boardLocked() {
		s.crew.push(f)
	}
	return s.flights.linked()
}

// keep keeps the room of a group, which holds nothing any more, for another.
func (c *crew) keep(g group) {
	if cap(g.runs) > 0 && len(c.spare) < spareGroups {
		c.spare = append(c.spare, group{runs: g.runs[:0], conducts: g.conducts[:0]})
	}
}

// groupRoom returns room for what a claim will start.
func (s *Scheduler) groupRoom() (g group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.crew.spare) - 1; last >= 0 {
		g, s.crew.spare[last] = s.crew.spare[last], group{}
		s.crew.spare = s.crew.spare[:last]
	}
	return g
}

// call reports whether a goroutine has to be sent. Who is told so sends it.
func (c *crew) call() bool {
	if c.coming || !c.waits() {
		return false
	}
	c.coming = true
	return true
}

// dispatch hands the runs of a claim to the crew, and their room as well.
func (s *Scheduler) dispatch(g group) {
	s.mu.Lock()
	if len(g.runs) == 0 {
		s.crew.keep(g)
		s.mu.Unlock()
		return
	}
	s.crew.groups = append(s.crew.groups, g)
	s.busy += len(g.runs)
	s.flights.count += len(g.runs)
	s.callCrewUnlock()
}

// giveWay is what the loop does after each claim of a burst. It lets the finisher have the store, and waits while the crew is behind: what is claimed
// long before it can begin takes memory that nobody has touched before, which costs more than the wait. The wait is short, whatever host code does,
// since a goroutine is always on its way to what waits.
func (s *Scheduler) giveWay() {
	for again := true; again; {
		runtime.Gosched()
		s.mu.Lock()
		again = len(s.crew.groups) > 1
		s.mu.Unlock()
	}
}

// dispatchOne hands a run to the crew.
func (s *Scheduler) dispatchOne(run *Run, c *conduct) {
	s.mu.Lock()
	s.flights.count++
	s.crew.push(s.prepareLocked(run, c))
	s.busy++
	s.callCrewUnlock()
}

// callCrewUnlock sends a goroutine if one has to be sent.
func (s *Scheduler) callCrewUnlock() {
	send := s.crew.call()
	s.mu.Unlock()
	if send {
		go s.serve()
	}
}

// turn is what a goroutine of the crew is at.
type turn struct {
	flight  *flight   // nil when there is nothing to do any more
	taken   time.Time // when it was taken from those that wait
	may     bool      // its host code may begin
	began   bool      // and has
	outcome outcome
}

// serve is one goroutine of the crew. Host code may end it with runtime.Goexit: its attempt is brought to its end then, and nothing waits for the
// goroutine.
func (s *Scheduler) serve() {
	var t turn
	s.arrive(&t)
	defer func() {
		if t.flight != nil {
			s.land(&t, false)
		}
	}()
	for t.flight != nil {
		s.fly(&t)
		s.land(&t, true)
	}
}

// arrive takes the attempt that has waited longest.
func (s *Scheduler) arrive(t *turn) {
	now := s.clock.Now()
	s.mu.Lock()
	s.crew.coming = false
	s.takeLocked(t, now)
	s.callCrewUnlock()
}

// takeLocked begins with the attempt that has waited longest, if one waits.
func (s *Scheduler) takeLocked(t *turn, now time.Time) {
	f := s.popLocked()
	*t = turn{flight: f, taken: now, may: f != nil && s.mayBeginLocked(f, now)}
}
