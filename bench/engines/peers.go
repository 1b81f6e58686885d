package main

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	netresearch "github.com/netresearch/go-cron"
	"github.com/reugn/go-quartz/quartz"
	robfig "github.com/robfig/cron/v3"
)

// Peers run with their defaults, and with their own kind of schedule where a task counts from its registration. Where it has a first
// instant, those that let a host write a schedule get a grid. What a peer has no call for is made of the calls that it has.

// gocronEngine is go-co-op/gocron.
type gocronEngine struct {
	scheduler gocron.Scheduler
	run       run
}

func openGocron(_ int, run run) (engine, error) {
	s, err := gocron.NewScheduler(gocron.WithStopTimeout(drainLimit))
	return &gocronEngine{s, run}, err
}

func (e *gocronEngine) start() error {
	e.scheduler.Start()
	return nil
}

func (e *gocronEngine) add(t task) error {
	options := []gocron.JobOption{gocron.WithIdentifier(gocronID(t.id))}
	switch {
	case t.now:
		options = append(options, gocron.WithStartAt(gocron.WithStartImmediately()))
	case !t.first.IsZero():
		options = append(options, gocron.WithStartAt(gocron.WithStartDateTime(t.first)))
	}
	_, err := e.scheduler.NewJob(gocron.DurationJob(t.every), e.task(t.id), options...)
	return err
}

func (e *gocronEngine) reschedule(t task) error {
	var options []gocron.JobOption
	if !t.first.IsZero() {
		options = append(options, gocron.WithStartAt(gocron.WithStartDateTime(t.first)))
	}
	_, err := e.scheduler.Update(gocronID(t.id), gocron.DurationJob(t.every), e.task(t.id), options...)
	return err
}

func (e *gocronEngine) task(id int) gocron.Task {
	return gocron.NewTask(func() { e.run(id) })
}

func (e *gocronEngine) remove(id int) error { return e.scheduler.RemoveJob(gocronID(id)) }

func (e *gocronEngine) drain() error { return e.scheduler.Shutdown() }

func gocronID(id int) (u uuid.UUID) {
	binary.BigEndian.PutUint64(u[8:], uint64(id)+1) // all zeros is no id
	return u
}

// netresearchEngine is netresearch/go-cron.
type netresearchEngine struct {
	cron *netresearch.Cron
	run  run
	ids  []netresearch.EntryID
}

func openNetresearch(n int, run run) (engine, error) {
	return &netresearchEngine{netresearch.New(), run, make([]netresearch.EntryID, n)}, nil
}

func (e *netresearchEngine) start() error {
	e.cron.Start()
	return nil
}

func (e *netresearchEngine) add(t task) (err error) {
	var schedule netresearch.Schedule = netresearch.Every(t.every)
	if !t.first.IsZero() {
		schedule = gridSchedule{t.first, t.every}
	}
	var options []netresearch.JobOption
	if t.now {
		options = append(options, netresearch.WithRunImmediately())
	}
	e.ids[t.id], err = e.cron.ScheduleJob(schedule, netresearch.FuncJob(func() { e.run(t.id) }), options...)
	return err
}

func (e *netresearchEngine) reschedule(t task) error {
	e.cron.Remove(e.ids[t.id])
	return e.add(t)
}

func (e *netresearchEngine) remove(id int) error {
	e.cron.Remove(e.ids[id])
	return nil
}

func (e *netresearchEngine) drain() error {
	e.cron.StopAndWait()
	return nil
}

// robfigEngine is robfig/cron.
type robfigEngine struct {
	cron *robfig.Cron
	run  run
	ids  []robfig.EntryID
}

func openRobfig(n int, run run) (engine, error) {
	return &robfigEngine{robfig.New(), run, make([]robfig.EntryID, n)}, nil
}

func (e *robfigEngine) start() error {
	e.cron.Start()
	return nil
}

func (e *robfigEngine) add(t task) error {
	var schedule robfig.Schedule = robfig.Every(t.every)
	switch {
	case t.now:
		schedule = &atOnceSchedule{then: robfig.Every(t.every)}
	case !t.first.IsZero():
		schedule = gridSchedule{t.first, t.every}
	}
	e.ids[t.id] = e.cron.Schedule(schedule, robfig.FuncJob(func() { e.run(t.id) }))
	return nil
}

func (e *robfigEngine) reschedule(t task) error {
	e.cron.Remove(e.ids[t.id])
	return e.add(t)
}

func (e *robfigEngine) remove(id int) error {
	e.cron.Remove(e.ids[id])
	return nil
}

func (e *robfigEngine) drain() error {
	<-e.cron.Stop().Done()
	return nil
}

// gridSchedule is a schedule for robfig/cron and netresearch/go-cron.
type gridSchedule struct {
	first time.Time
	every time.Duration
}

func (s gridSchedule) Next(t time.Time) time.Time { return grid(s.first, s.every, t) }

// atOnceSchedule is due as soon as it is asked for the first time.
type atOnceSchedule struct {
	asked bool
	then  robfig.Schedule
}

func (s *atOnceSchedule) Next(t time.Time) time.Time {
	if !s.asked {
		s.asked = true
		return t
	}
	return s.then.Next(t)
}

// quartzEngine is reugn/go-quartz.
type quartzEngine struct {
	scheduler quartz.Scheduler
	run       run
}

// openQuartz lets jobs be late by a period: with the default of 100 ms the scheduler skips those that are later.
func openQuartz(_ int, run run) (engine, error) {
	s, err := quartz.NewStdScheduler(quartz.WithOutdatedThreshold(period))
	return &quartzEngine{s, run}, err
}

func (e *quartzEngine) start() error {
	e.scheduler.Start(context.Background())
	return nil
}

func (e *quartzEngine) add(t task) error { return e.schedule(t, false) }

func (e *quartzEngine) reschedule(t task) error { return e.schedule(t, true) }

func (e *quartzEngine) schedule(t task, replace bool) error {
	var trigger quartz.Trigger = quartz.NewSimpleTrigger(t.every)
	switch {
	case t.now:
		trigger = &atOnceTrigger{then: trigger}
	case !t.first.IsZero():
		trigger = gridTrigger{t.first, t.every}
	}
	options := quartz.NewDefaultJobDetailOptions()
	options.Replace = replace
	return e.scheduler.ScheduleJob(quartz.NewJobDetailWithOptions(quartzJob{t.id, e.run}, quartzKey(t.id), options), trigger)
}

func (e *quartzEngine) remove(id int) error { return e.scheduler.DeleteJob(quartzKey(id)) }

func (e *quartzEngine) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	e.scheduler.Stop()
	e.scheduler.Wait(ctx)
	return ctx.Err()
}

func quartzKey(id int) *quartz.JobKey { return quartz.NewJobKey(strconv.Itoa(id)) }

type quartzJob struct {
	id  int
	run run
}

func (j quartzJob) Execute(context.Context) error {
	j.run(j.id)
	return nil
}

func (j quartzJob) Description() string { return "" }

type gridTrigger struct {
	first time.Time
	every time.Duration
}

func (t gridTrigger) NextFireTime(prev int64) (int64, error) {
	return grid(t.first, t.every, time.Unix(0, prev)).UnixNano(), nil
}

func (t gridTrigger) Description() string { return "" }

// atOnceTrigger fires as soon as it is asked for the first time.
type atOnceTrigger struct {
	asked bool
	then  quartz.Trigger
}

func (t *atOnceTrigger) NextFireTime(prev int64) (int64, error) {
	if !t.asked {
		t.asked = true
		return prev, nil
	}
	return t.then.NextFireTime(prev)
}

func (t *atOnceTrigger) Description() string { return "" }
