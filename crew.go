package punctual

// The crew are the goroutines that work on attempts. One that has worked on an attempt takes the next that waits, if there is one, so that
// a burst of short runs needs a few goroutines and not one for each run: those would each begin with the smallest stack, and the time
// went into their growth. No attempt waits for the end of another, though: before a goroutine enters host code, which may take for ever, it
// sees to it that another one is on its way to whatever still waits.
type crew struct {
	first, last *flight // attempts that wait for a goroutine, oldest first, linked by flight.behind
	coming      bool    // a goroutine is on its way; always, while an attempt waits
}

func (c *crew) push(f *flight) {
	if c.first == nil {
		c.first = f
	} else {
		c.last.behind = f
	}
	c.last = f
}

func (c *crew) pop() *flight {
	f := c.first
	if f != nil {
		c.first, f.behind = f.behind, nil
	}
	return f
}

// call reports whether a goroutine has to be sent. Who is told so sends it.
func (c *crew) call() bool {
	if c.first == nil || c.coming {
		return false
	}
	c.coming = true
	return true
}

// dispatch hands flights to the crew.
func (s *Scheduler) dispatch(flights ...*flight) {
	s.mu.Lock()
	for _, f := range flights {
		s.flights.add(f)
		s.crew.push(f)
	}
	s.busy += len(flights)
	send := s.crew.call()
	s.mu.Unlock()
	if send {
		go s.serve()
	}
}

// serve is one goroutine of the crew. Host code may end it with runtime.Goexit; nothing waits for it then.
func (s *Scheduler) serve() {
	for f := s.nextFlight(true); f != nil; f = s.nextFlight(false) {
		f.fly()
	}
}

// nextFlight returns the attempt that has waited longest; nil when none waits.
func (s *Scheduler) nextFlight(arriving bool) *flight {
	s.mu.Lock()
	if arriving {
		s.crew.coming = false
	}
	f := s.crew.pop()
	send := s.crew.call()
	s.mu.Unlock()
	if send {
		go s.serve()
	}
	return f
}
