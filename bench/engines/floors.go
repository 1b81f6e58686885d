package main

import (
	"container/heap"
	"math"
	"sync"
	"time"
)

// The floors are the least that starts host code on time: no ids, no policies, nothing that is kept. What a library needs beyond them
// is what it pays for all that it does besides.

// heapFloor is one goroutine with a heap and a timer.
type heapFloor struct {
	run     run
	items   []*item // by task id
	wake    chan struct{}
	stop    chan struct{}
	loop    sync.WaitGroup
	flights sync.WaitGroup

	mu  sync.Mutex // guards all below
	due dueHeap
}

type item struct {
	due   time.Time
	every time.Duration
	index int
	id    int
}

func openHeapFloor(n int, run run) (engine, error) {
	return &heapFloor{run: run, items: make([]*item, n), wake: make(chan struct{}, 1), stop: make(chan struct{})}, nil
}

func (f *heapFloor) start() error {
	f.loop.Go(f.work)
	return nil
}

func (f *heapFloor) work() {
	for {
		timer := time.NewTimer(f.startDue())
		select {
		case <-timer.C:
		case <-f.wake:
			timer.Stop()
		case <-f.stop:
			timer.Stop()
			return
		}
	}
}

// startDue starts what is due and returns how long to sleep.
func (f *heapFloor) startDue() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for len(f.due) > 0 {
		it := f.due[0]
		if it.due.After(now) {
			if now = time.Now(); it.due.After(now) {
				return it.due.Sub(now)
			}
		}
		it.due = it.due.Add(it.every)
		heap.Fix(&f.due, 0)
		f.flights.Add(1)
		go func() {
			defer f.flights.Done()
			f.run(it.id)
		}()
	}
	return math.MaxInt64
}

func (f *heapFloor) add(t task) error {
	it := &item{due: firstDue(t), every: t.every, id: t.id}
	f.items[t.id] = it
	f.mu.Lock()
	heap.Push(&f.due, it)
	earliest := it.index == 0
	f.mu.Unlock()
	f.look(earliest)
	return nil
}

func (f *heapFloor) reschedule(t task) error {
	it := f.items[t.id]
	f.mu.Lock()
	it.due, it.every = firstDue(t), t.every
	heap.Fix(&f.due, it.index)
	earliest := it.index == 0
	f.mu.Unlock()
	f.look(earliest)
	return nil
}

func (f *heapFloor) remove(id int) error {
	f.mu.Lock()
	heap.Remove(&f.due, f.items[id].index)
	f.mu.Unlock()
	f.items[id] = nil
	return nil
}

// look wakes the loop when something is due earlier than all else.
func (f *heapFloor) look(earliest bool) {
	if earliest {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

func (f *heapFloor) drain() error {
	close(f.stop)
	f.loop.Wait()
	f.flights.Wait()
	return nil
}

// firstDue is when a task is due for the first time.
func firstDue(t task) time.Time {
	switch {
	case t.now:
		return time.Now()
	case t.first.IsZero():
		return time.Now().Add(t.every)
	}
	return t.first
}

type dueHeap []*item

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	it := x.(*item)
	it.index = len(*h)
	*h = append(*h, it)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return it
}

// afterFuncFloor is a timer of the runtime for each task.
type afterFuncFloor struct {
	run     run
	alarms  []*alarm // by task id
	flights sync.WaitGroup

	mu     sync.Mutex // guards all below, and due and every of each alarm
	closed bool
}

type alarm struct {
	floor *afterFuncFloor
	timer *time.Timer
	due   time.Time
	every time.Duration
	id    int
}

func openAfterFuncFloor(n int, run run) (engine, error) {
	return &afterFuncFloor{run: run, alarms: make([]*alarm, n)}, nil
}

func (f *afterFuncFloor) start() error { return nil }

func (f *afterFuncFloor) add(t task) error {
	a := &alarm{floor: f, due: firstDue(t), every: t.every, id: t.id}
	f.alarms[t.id] = a
	f.mu.Lock() // the alarm may ring before it knows its timer
	a.timer = time.AfterFunc(time.Until(a.due), a.ring)
	f.mu.Unlock()
	return nil
}

// ring is called in a goroutine of its own.
func (a *alarm) ring() {
	f := a.floor
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.flights.Add(1)
	a.due = a.due.Add(a.every)
	a.timer.Reset(time.Until(a.due))
	f.mu.Unlock()
	defer f.flights.Done()
	f.run(a.id)
}

func (f *afterFuncFloor) reschedule(t task) error {
	a := f.alarms[t.id]
	f.mu.Lock()
	a.due, a.every = firstDue(t), t.every
	a.timer.Reset(time.Until(a.due))
	f.mu.Unlock()
	return nil
}

func (f *afterFuncFloor) remove(id int) error {
	f.alarms[id].timer.Stop()
	f.alarms[id] = nil
	return nil
}

func (f *afterFuncFloor) drain() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	for _, a := range f.alarms {
		if a != nil {
			a.timer.Stop()
		}
	}
	f.flights.Wait()
	return nil
}
