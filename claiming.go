package punctual

import (
	"context"
	"hash/maphash"
	"maps"
)

// claim makes one claim and dispatches what it started. After an error the room is left to whoever gave the call up and may still be at it.
func (s *Scheduler) claim(made *claiming, op op) (ClaimReply, error) {
	made.begin(op)
	if made.room.runs == nil {
		made.room = s.groupRoom()
	}
	req := ClaimRequest{
		Now: s.storeNow(), Session: op.session, Limit: op.limit, Kinds: s.handled(), KindLimits: maps.Clone(op.kinds), Started: made.room.runs,
		Decide: made.decideIt,
	}
	sent := s.clock.Now()
	reply, err := storeCall(s.engineContext(), s, "claim", func(ctx context.Context) (ClaimReply, error) { return s.store.Claim(ctx, req) })
	if err != nil {
		s.endOp(&made.op, nil)
		return reply, err
	}
	s.storeTold(sent, reply.Now)
	s.claimed(made, &reply)
	return reply, nil
}

// claimed tells of what a claim has decided, dispatches what it started, and ends its op.
func (s *Scheduler) claimed(made *claiming, reply *ClaimReply) {
	var started []string // kinds
	defer func() { s.endOp(&made.op, started) }()
	defer made.clear()
	s.finisher.inBurst(len(reply.Started) >= manyStarts)
	for _, fault := range reply.SetAside {
		made.forget(fault.TaskID)
		s.setAside(fault)
	}
	for i := range made.decisions {
		s.announce(&made.decisions[i].change)
	}
	g := group{runs: reply.Started, conducts: made.room.conducts}
	for i := range reply.Started {
		run := &reply.Started[i]
		g.conducts = append(g.conducts, made.of(run.TaskID).conduct)
		if made.op.kinds != nil {
			started = append(started, run.Kind)
		}
	}
	made.room = group{}
	s.dispatch(g)
	for i := range made.decisions {
		s.carryOut(made.decisions[i].change.Cancel)
	}
}

// claiming is what a claim has decided, and room for it that a later claim uses again.
type claiming struct {
	scheduler *Scheduler
	op        op
	rules     rules
	decideIt  DecideFunc // decide
	decisions []decision
	places    []int32 // of the decisions, by task: see place
	last      int     // the number of the one that was asked for last
	starts    int     // that the decisions come to
	short     bool    // one of them was made with too few slots
	room      group   // for what it starts
}

func (s *Scheduler) newClaiming() *claiming {
	c := &claiming{scheduler: s}
	c.decideIt = func(v View) (Change, error) { return c.decide(&v) }
	return c
}

// begin makes room for the decisions of a new claim.
func (c *claiming) begin(op op) {
	c.op, c.rules, c.short = op, c.scheduler.rulesFor(op.session), false
}

// decide is the claim's decide function.
func (c *claiming) decide(v *View) (Change, error) {
	d := c.decision(v.Record)
	v.Slots = c.scheduler.slotsForDue(&c.op, c, v)
	err := c.rules.decideDue(v, &d.room, &d.change)
	c.starts += d.change.Starts()
	return d.change, err
}

// decision is what one claim last decided about a task.
type decision struct {
	taskID  string
	change  Change
	conduct conduct
	room    room
}

// decision returns the room for what is decided about a task: that which it has already when it is decided again.
func (c *claiming) decision(record *Record) *decision {
	task := &record.Task
	if 2*len(c.decisions) >= len(c.places) {
		c.spread()
	}
	place := c.place(task.ID)
	n := int(*place) - 1
	switch {
	case n >= 0:
		c.starts -= c.decisions[n].change.Starts()
		c.decisions[n] = decision{}
	case len(c.decisions) < cap(c.decisions):
		n = len(c.decisions)
		c.decisions = c.decisions[:n+1] // clear leaves nothing there
	default:
		n = len(c.decisions)
		c.decisions = append(c.decisions, decision{})
	}
	*place = int32(n) + 1
	d := &c.decisions[n]
	d.taskID = task.ID
	d.conduct = task.conduct()
	return d
}

// placeSeed is for place.
var placeSeed = maphash.MakeSeed()

// place returns where one more than the number of a task's decision is written; zero stands there when nothing was decided about the task. All
// of that is cleared for each claim, which a map is not in a moment: a task's place goes by its hash, and it is the next free one if another
// has that.
func (c *claiming) place(taskID string) *int32 {
	for i := maphash.String(placeSeed, taskID); ; i++ {
		p := &c.places[i%uint64(len(c.places))]
		if *p == 0 || c.decisions[*p-1].taskID == taskID {
			return p
		}
	}
}

// spread makes twice as many places, so that most are free.
func (c *claiming) spread() {
	c.places = make([]int32, max(2*len(c.places), 16))
	for n := range c.decisions {
		*c.place(c.decisions[n].taskID) = int32(n) + 1
	}
}

// of returns the decision about a task. Runs start in the order of the decisions, so it is mostly the one asked for last or the next.
func (c *claiming) of(taskID string) *decision {
	for range 2 {
		if c.last < len(c.decisions) && c.decisions[c.last].taskID == taskID {
			return &c.decisions[c.last]
		}
		c.last++
	}
	c.last = max(int(*c.place(taskID))-1, 0)
	return &c.decisions[c.last]
}

// forget drops what was decided about a task that was set aside.
func (c *claiming) forget(taskID string) {
	if len(c.decisions) == 0 {
		return
	}
	if n := *c.place(taskID); n > 0 {
		d := &c.decisions[n-1]
		c.starts -= d.change.Starts()
		*d = decision{taskID: taskID}
	}
}

// clear keeps the room and nothing that it held.
func (c *claiming) clear() {
	clear(c.decisions)
	clear(c.places)
	c.starts, c.last = 0, 0
	c.decisions = c.decisions[:0]
}
