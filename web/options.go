package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/benbjohnson/clock"
)

// Action is what a request wants to do.
type Action string

// The actions. All but ActionView change something.
const (
	ActionView       Action = "view"       // read a page or an answer of the API, or watch
	ActionPause      Action = "pause"      // pause a task
	ActionResume     Action = "resume"     // end a pause
	ActionRun        Action = "run"        // run a task now
	ActionReschedule Action = "reschedule" // give a task another schedule
	ActionCancel     Action = "cancel"     // cancel a run
	ActionRetry      Action = "retry"      // run the task of a run that has ended once more
)

// Access is one question to an Authorizer.
type Access struct {
	Action Action
	TaskID string // the task that it is about; empty for lists and for what does not exist
	RunID  string // the run, if it is about one
}

// Authorizer decides about one request. It returns who asks, for the page's header and the audit, and nil if the access is granted. An
// error that wraps ErrUnauthenticated means that nobody is logged in, and is answered with status 401 or the login page; any other error
// refuses the access with status 403. Its text is shown to nobody.
//
// It is asked once for each request, and for the pages of a task and a run once more for each action, to show only buttons that would
// work. It is called from many goroutines and should be quick.
type Authorizer func(r *http.Request, access Access) (actor string, err error)

// ErrUnauthenticated is what an Authorizer answers when the request does not say who asks.
var ErrUnauthenticated = errors.New("web: not authenticated")

// AuditEvent is one attempt to change something, granted or not.
type AuditEvent struct {
	At     time.Time
	Actor  string // what the Authorizer returned; empty without one
	Action Action
	TaskID string
	RunID  string // of the run that is cancelled or retried, or that RunNow made
	Detail string // the new schedule
	Remote string // the peer's address as the server saw it
	Err    error  // why it was refused or failed; nil when it was done
}

// Option configures the handler; see the With functions.
type Option func(*config)

type config struct {
	authorize Authorizer
	open      bool
	readOnly  bool
	login     string
	challenge string
	title     string
	clock     clock.Clock
	logger    *slog.Logger
	audit     func(context.Context, AuditEvent)
	redact    func(kind string, payload json.RawMessage) json.RawMessage
	viewers   int
}

func defaultConfig() config {
	return config{title: "Punctual", clock: clock.New(), logger: slog.New(slog.DiscardHandler), viewers: DefaultViewers}
}

// WithAuthorizer sets who may do what. Default: requests from and for this machine may do everything, all others nothing.
func WithAuthorizer(a Authorizer) Option { return func(c *config) { c.authorize = a } }

// WithOpenAccess serves whoever can reach the handler, without asking. It is for hosts that guard the handler themselves.
func WithOpenAccess() Option { return func(c *config) { c.open = true } }

// WithReadOnly refuses each change and hides the buttons.
func WithReadOnly() Option { return func(c *config) { c.readOnly = true } }

// WithLogin sends browsers that nobody is logged in with to this address, e.g. "/login", instead of answering with status 401.
func WithLogin(address string) Option { return func(c *config) { c.login = address } }

// WithChallenge sets the WWW-Authenticate header of answers with status 401, e.g. `Basic realm="tasks"`.
func WithChallenge(challenge string) Option { return func(c *config) { c.challenge = challenge } }

// WithTitle sets the name in the header of the pages. Default "Punctual".
func WithTitle(title string) Option {
	return func(c *config) {
		if title != "" {
			c.title = title
		}
	}
}

// WithLogger sets where the handler logs: each attempt to change something as "dashboard action" with the keys actor, action, task_id, run_id, remote and
// error, and failing queries. The default discards.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l != nil {
			c.logger = l
		}
	}
}

// WithAudit sets who is told about each attempt to change something, after it was decided and before the answer. It is called from many
// goroutines.
func WithAudit(audit func(context.Context, AuditEvent)) Option {
	return func(c *config) { c.audit = audit }
}

// WithRedaction sets what pages and API show of a payload; nil shows none. What it gets is its own. Default: payloads are shown as they are.
func WithRedaction(redact func(kind string, payload json.RawMessage) json.RawMessage) Option {
	return func(c *config) { c.redact = redact }
}

// WithViewers bounds how many pages may follow what happens at a time; those beyond stay as they were loaded. Default DefaultViewers;
// zero or less means none.
func WithViewers(n int) Option { return func(c *config) { c.viewers = n } }

// WithClock sets the clock of all times, for tests: that of the Scheduler. Default: the real clock.
func WithClock(k clock.Clock) Option {
	return func(c *config) {
		if k != nil {
			c.clock = k
		}
	}
}
