package main

import (
	"fmt"
	"time"
)

// task is what engines register.
type task struct {
	id    int           // from 0
	every time.Duration // between its occurrences
	first time.Time     // its first occurrence; zero for every after the registration
	now   bool          // runs at once, besides its occurrences
}

// engine is a scheduler as the scenarios use it. Tasks may be added before start and after it; everything else comes after start.
type engine interface {
	start() error
	add(t task) error
	// reschedule gives the task with this id another time, counted from now.
	reschedule(t task) error
	remove(id int) error
	// drain stops the engine and waits for what is running.
	drain() error
}

// run is the host code that engines start, in a goroutine for each occurrence, with the id of the task.
type run func(id int)

// library is one way of running tasks on time.
type library struct {
	key    string // in orders and in flags
	title  string // in tables
	module string // empty for what is written here
	// open makes an engine that has room for tasks with ids below n, so that what is kept beside it is not counted as its memory.
	open func(n int, run run) (engine, error)
}

// libraries are in the order of the tables: ours, then the floors, then the peers.
var libraries = []library{
	{key: "punctual", title: "Punctual", module: "github.com/punctual-go/punctual", open: openPunctual},
	{key: "heap", title: "heap floor", open: openHeapFloor},
	{key: "afterfunc", title: "AfterFunc floor", open: openAfterFuncFloor},
	{key: "gocron", title: "gocron", module: "github.com/go-co-op/gocron/v2", open: openGocron},
	{key: "go-cron", title: "netresearch/go-cron", module: "github.com/netresearch/go-cron", open: openNetresearch},
	{key: "robfig", title: "robfig/cron", module: "github.com/robfig/cron/v3", open: openRobfig},
	{key: "go-quartz", title: "go-quartz", module: "github.com/reugn/go-quartz", open: openQuartz},
}

func libraryOf(key string) (library, error) {
	for _, lib := range libraries {
		if lib.key == key {
			return lib, nil
		}
	}
	return library{}, fmt.Errorf("there is no library %q", key)
}

// grid returns the first of first, first+every, first+2*every, ... after t.
func grid(first time.Time, every time.Duration, t time.Time) time.Time {
	if t.Before(first) {
		return first
	}
	return first.Add((t.Sub(first)/every + 1) * every)
}
