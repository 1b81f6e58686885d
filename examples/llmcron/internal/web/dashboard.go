package web

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/punctual-go/punctual"
	dashboard "github.com/punctual-go/punctual/web"
)

// dashboardPrefix is where the scheduler's own pages are mounted.
const dashboardPrefix = "/punctual"

// Dashboard is the scheduler's own view of the tasks, for Options. Who has llmcron's token may look, run and cancel. Schedules are changed
// and tasks switched off on llmcron's pages, which keep them in the payload as well. In a demo each page says so.
func Dashboard(s *punctual.Scheduler, logger *slog.Logger, demo bool) http.Handler {
	may := func(_ *http.Request, access dashboard.Access) (string, error) {
		switch access.Action {
		case dashboard.ActionView, dashboard.ActionRun, dashboard.ActionCancel, dashboard.ActionRetry:
			return "operator", nil
		default:
			return "operator", errors.New("tasks are changed on llmcron's pages")
		}
	}
	title := "llmcron runs"
	if demo {
		title += " (demo)"
	}
	return dashboard.Handler(s, dashboard.WithTitle(title), dashboard.WithAuthorizer(may), dashboard.WithRedaction(withoutKey), dashboard.WithLogger(logger))
}

// withoutKey leaves the sealed key out: sealed or not, a page is no place for it.
func withoutKey(_ string, payload json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil {
		return nil
	}
	delete(fields, "sealed_key")
	shown, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return shown
}
