package punctual

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/benbjohnson/clock"
)

// Defaults of the options.
const (
	DefaultConcurrency  = 100
	DefaultLease        = 15 * time.Second
	DefaultOutputLimit  = 64 << 10
	DefaultStoreTimeout = 10 * time.Second
	DefaultRetention    = 90 * 24 * time.Hour
	DefaultMaxSleep     = 30 * time.Second
	DefaultLookahead    = 500 * time.Millisecond
)

const (
	maxConcurrency = 1_000_000
	minLease       = 30 * time.Millisecond
)

// Option configures a Scheduler; see the With functions.
type Option func(*config) error

type config struct {
	clock        clock.Clock
	injected     bool
	logger       *slog.Logger
	concurrency  int
	register     RegisterPolicy
	spread       time.Duration
	instance     string
	version      string
	lease        time.Duration
	observer     Observer
	outputLimit  int
	storeTimeout time.Duration
	maxSleep     time.Duration
	lookahead    time.Duration
	retention    time.Duration
	keepRuns     int
	kindLimits   map[string]kindLimit
}

func defaultConfig() config {
	return config{
		clock: clock.New(), logger: slog.New(slog.DiscardHandler), concurrency: DefaultConcurrency,
		register: RunImmediatelyOnRegister, instance: defaultInstance(), lease: DefaultLease, outputLimit: DefaultOutputLimit,
		storeTimeout: DefaultStoreTimeout, retention: DefaultRetention, maxSleep: DefaultMaxSleep, lookahead: DefaultLookahead,
	}
}

func defaultInstance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

func badOption(name, reason string, args ...any) error {
	return fmt.Errorf("punctual: %s: %s", name, fmt.Sprintf(reason, args...))
}

// WithClock injects the clock that every decision, duration, timeout and log time comes from, for tests: a mock clock, or the
// clock of a simulation. The store is then told the time with each call. Default: the real clock, and the store's own clock
// decides what is due.
func WithClock(c clock.Clock) Option {
	return func(o *config) error {
		if c == nil {
			return badOption("WithClock", "the clock is nil")
		}
		o.clock, o.injected = c, true
		return nil
	}
}

// WithLogger sets where the Scheduler logs; the default discards. Keys are stable and listed in docs/observability.md: task_id, task_name, run_id, trigger, attempt,
// state, error, instance.
func WithLogger(l *slog.Logger) Option {
	return func(o *config) error {
		if l == nil {
			return badOption("WithLogger", "the logger is nil")
		}
		o.logger = l
		return nil
	}
}

// WithConcurrency bounds how many runs this instance executes at a time. What is due beyond it waits, in due order. Default 100.
func WithConcurrency(n int) Option {
	return func(o *config) error {
		if n < 1 || n > maxConcurrency {
			return badOption("WithConcurrency", "%d is not between 1 and %d", n, maxConcurrency)
		}
		o.concurrency = n
		return nil
	}
}

// WithKindConcurrency bounds how many runs of one kind this instance executes at a time, besides WithConcurrency. What is due beyond it
// waits, in due order, and does not keep other kinds from starting. Default: no bound of its own.
func WithKindConcurrency(kind string, n int) Option {
	return func(o *config) error {
		if n < 1 || n > maxConcurrency {
			return badOption("WithKindConcurrency", "%d for kind %q is not between 1 and %d", n, clip(kind, 64), maxConcurrency)
		}
		o.limit(kind, func(l *kindLimit) { l.concurrency = n })
		return nil
	}
}

// WithKindRate bounds how often this instance starts attempts of one kind: one each interval on average, and at most burst at once after
// a time of rest (a token bucket). What is due beyond it waits, in due order, and does not keep other kinds from starting. The
// interval is at least a microsecond. Default: no bound.
func WithKindRate(kind string, interval time.Duration, burst int) Option {
	return func(o *config) error {
		if interval < time.Microsecond || interval > maxDuration || burst < 1 || burst > maxConcurrency {
			return badOption("WithKindRate", "kind %q: the interval %v is shorter than a microsecond or too long, or the burst %d is not between 1 and %d",
				clip(kind, 64), interval, burst, maxConcurrency)
		}
		o.limit(kind, func(l *kindLimit) { l.every, l.burst = interval, burst })
		return nil
	}
}

func (o *config) limit(kind string, set func(*kindLimit)) {
	if o.kindLimits == nil {
		o.kindLimits = make(map[string]kindLimit)
	}
	l := o.kindLimits[kind]
	set(&l)
	o.kindLimits[kind] = l
}

// WithRegisterPolicy says whether interval tasks with RegisterDefault run at once when they are registered. Default
// RunImmediatelyOnRegister. Fixed-time tasks wait for their time unless the task itself says otherwise.
func WithRegisterPolicy(p RegisterPolicy) Option {
	return func(o *config) error {
		if p != RunImmediatelyOnRegister && p != WaitForSchedule {
			return badOption("WithRegisterPolicy", "%v is neither RunImmediatelyOnRegister nor WaitForSchedule", p)
		}
		o.register = p
		return nil
	}
}

// WithRegisterSpread staggers registrations: the first run of each task, and with it the anchor of its interval, is moved by a
// share of d that its id determines, so that a bulk registration neither starts at once nor meets again later. Default zero.
func WithRegisterSpread(d time.Duration) Option {
	return func(o *config) error {
		if d < 0 || d > maxDuration {
			return badOption("WithRegisterSpread", "%v is negative or too long", d)
		}
		o.spread = d
		return nil
	}
}

// WithInstance names this instance for operators, in the ledger and in logs. It need not be unique. Default host name and
// process id.
func WithInstance(name string) Option {
	return func(o *config) error {
		if reason := textFault(name, true); reason != "" {
			return badOption("WithInstance", "the name %s", reason)
		}
		o.instance = name
		return nil
	}
}

// WithVersion sets the host's version that the instance announces in the store. Default empty.
func WithVersion(version string) Option {
	return func(o *config) error {
		if reason := textFault(version, false); reason != "" {
			return badOption("WithVersion", "the version %s", reason)
		}
		o.version = version
		return nil
	}
}

// WithLease sets how long the store waits for a sign of life of this instance before others take over its runs. The lease is
// renewed every third of it; short leases take over sooner and survive shorter interruptions. Default 15 s, at least 30 ms.
func WithLease(d time.Duration) Option {
	return func(o *config) error {
		if d < minLease || d > 24*time.Hour {
			return badOption("WithLease", "%v is not between %v and 24h", d, minLease)
		}
		o.lease = d
		return nil
	}
}

// WithObserver sets who is told about each event; see Observer.
func WithObserver(observer Observer) Option {
	return func(o *config) error {
		if observer == nil {
			return badOption("WithObserver", "the observer is nil")
		}
		o.observer = observer
		return nil
	}
}

// WithOutputLimit sets how many bytes of a result's output the ledger keeps; what is beyond is cut and marked. Default 64 KiB.
func WithOutputLimit(bytes int) Option {
	return func(o *config) error {
		if bytes < 0 || bytes > 16<<20 {
			return badOption("WithOutputLimit", "%d is not between 0 and 16 MiB", bytes)
		}
		o.outputLimit = bytes
		return nil
	}
}

// WithStoreTimeout bounds each call to the store, and all the last calls together after Close or the deadline of Shutdown. Default 10 s.
func WithStoreTimeout(d time.Duration) Option {
	return func(o *config) error {
		if d < time.Millisecond || d > time.Hour {
			return badOption("WithStoreTimeout", "%v is not between 1ms and 1h", d)
		}
		o.storeTimeout = d
		return nil
	}
}

// WithMaxSleep bounds how long the Scheduler goes without looking at its store, though it knows of nothing that is due: the wall clock
// can jump, a machine can sleep, and a hint that another instance has changed something can be lost. A shorter one finds such
// things sooner and costs a look each time. Default 30 s, at least 1 ms and at most a day.
func WithMaxSleep(d time.Duration) Option {
	return func(o *config) error {
		if d < time.Millisecond || d > 24*time.Hour {
			return badOption("WithMaxSleep", "%v is not between 1ms and 24h", d)
		}
		o.maxSleep = d
		return nil
	}
}

// WithLookahead sets how long before an instant the Scheduler may begin to claim what comes due at it, if that is much (128 tasks and more) and
// the store is a Preparer. It begins only as early as the number of tasks asks for, and commits at the instant by the store's clock: nothing
// starts early, and a burst is not late by the time that its claims take. Who edits one of these tasks meanwhile waits until then. Default
// 500 ms, at most 5 s; zero makes no claims ahead.
func WithLookahead(d time.Duration) Option {
	return func(o *config) error {
		if d < 0 || d > 5*time.Second {
			return badOption("WithLookahead", "%v is not between 0 and 5s", d)
		}
		o.lookahead = d
		return nil
	}
}

// WithRetention bounds the ledger: final runs older than age are removed, and at most perTask of them are kept for each task.
// Zero means no bound of that kind. A row that further skips are added to is kept until it is complete. Instances remove what is beyond
// it five minutes after their start and then each hour. Default 90 days and no bound by number.
func WithRetention(age time.Duration, perTask int) Option {
	return func(o *config) error {
		if age < 0 || age > maxDuration || perTask < 0 {
			return badOption("WithRetention", "neither age nor number may be negative, nor the age longer than a hundred years")
		}
		o.retention, o.keepRuns = age, perTask
		return nil
	}
}
