package robfigcron

import (
	"context"
	"log"

	"github.com/robfig/cron/v3"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// both keeps robfig/cron and takes the calendar of Punctual: a schedule of the one is a schedule of the other.
func both(ctx context.Context, c *cron.Cron, w work.Work) {
	c.Schedule(punctual.Daily("02:30", work.Berlin()), cron.FuncJob(func() {
		if err := w.Report(ctx); err != nil {
			log.Printf("report failed: %v", err)
		}
	}))
}
