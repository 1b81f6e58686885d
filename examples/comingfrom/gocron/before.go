// Package gocron is the same program twice: with gocron and with Punctual. The page docs/coming-from/gocron.md shows it.
package gocron

import (
	"log"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"

	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// before schedules the work with gocron.
func before(w work.Work, berlin *time.Location) (gocron.Scheduler, error) {
	s, err := gocron.NewScheduler(gocron.WithLocation(berlin), gocron.WithStopTimeout(time.Minute))
	if err != nil {
		return nil, err
	}
	failed := gocron.AfterJobRunsWithError(func(_ uuid.UUID, name string, err error) { log.Printf("%s failed: %v", name, err) })
	_, err = s.NewJob(
		gocron.DurationJob(30*time.Minute),
		gocron.NewTask(w.Sync, "crm"),
		gocron.WithName("sync"),
		gocron.WithStartAt(gocron.WithStartImmediately()),
		gocron.WithSingletonMode(gocron.LimitModeReschedule),
		gocron.WithEventListeners(failed),
	)
	if err != nil {
		return nil, err
	}
	_, err = s.NewJob(
		gocron.CronJob("0 9 * * 1-5", false),
		gocron.NewTask(w.Report),
		gocron.WithName("report"),
		gocron.WithSingletonMode(gocron.LimitModeReschedule),
		gocron.WithEventListeners(failed),
	)
	if err != nil {
		return nil, err
	}
	s.Start()
	return s, nil
}
