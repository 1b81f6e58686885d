package main

import "time"

// size says how much a measurement does.
type size struct {
	Register   int           // tasks of the registration
	Slow, Fast int           // fires per second
	Warm, Long time.Duration // how long fires run before they are measured, and how long they are
	Burst      int           // tasks that are due at one instant
	Registered int           // tasks that are there already
	Calls      int           // registrations of which each is timed
	Idle       time.Duration
	Drain      int           // runs in flight when an engine is stopped
	Work       time.Duration // that each of them takes
	Rounds     int

	Growth       []int         // numbers of tasks
	GrowthSetup  time.Duration // for so many tasks
	GrowthRounds int

	Setup  time.Duration // for the tasks that are there already; what does not get them in gives up
	Cap    time.Duration // for the registration and for the burst; what came until then counts
	Repeat time.Duration // for calls that are repeated; as many as came until then count
}

var (
	fullSize = size{
		Register: 1_000_000, Slow: 10_000, Fast: 100_000, Warm: time.Second, Long: 3 * time.Second, Burst: 100_000, Registered: 100_000,
		Calls: 2_000, Idle: 10 * time.Second, Drain: 1_000, Work: 300 * time.Millisecond, Rounds: 3,
		Growth: []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000}, GrowthSetup: 30 * time.Second, GrowthRounds: 1,
		Setup: 9 * time.Second, Cap: 6 * time.Second, Repeat: 2 * time.Second,
	}
	quickSize = size{
		Register: 200_000, Slow: 10_000, Fast: 100_000, Warm: 500 * time.Millisecond, Long: time.Second, Burst: 100_000, Registered: 100_000,
		Calls: 500, Idle: time.Second, Drain: 1_000, Work: 300 * time.Millisecond, Rounds: 1,
		Growth: []int{1_000, 10_000, 100_000}, GrowthSetup: 3 * time.Second, GrowthRounds: 1,
		Setup: 8 * time.Second, Cap: 3 * time.Second, Repeat: time.Second / 2,
	}
)

// limit is how long a measurement may take before it is stopped from outside.
func (s size) limit() time.Duration {
	return 2*s.Setup + s.GrowthSetup + s.Cap + 4*s.Repeat + s.Warm + s.Long + s.Idle + s.Work + 30*time.Second
}
