// Package robfigcron is the same program twice: with robfig/cron and with Punctual. The page docs/coming-from/robfig-cron.md shows it.
package robfigcron

import (
	"context"
	"log"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// before schedules the work with robfig/cron.
func before(ctx context.Context, w work.Work, berlin *time.Location) (*cron.Cron, error) {
	c := cron.New(
		cron.WithLocation(berlin),
		cron.WithChain(cron.Recover(cron.DefaultLogger), cron.SkipIfStillRunning(cron.DefaultLogger)),
	)
	_, err := c.AddFunc("@every 30m", func() {
		if err := w.Sync(ctx, "crm"); err != nil {
			log.Printf("sync failed: %v", err)
		}
	})
	if err != nil {
		return nil, err
	}
	_, err = c.AddFunc("0 9 * * MON-FRI", func() {
		if err := w.Report(ctx); err != nil {
			log.Printf("report failed: %v", err)
		}
	})
	if err != nil {
		return nil, err
	}
	c.Start()
	return c, nil
}
