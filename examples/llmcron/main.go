// Llmcron is the reference server of the punctual library: scheduled calls to OpenAI-compatible APIs, with a JSON API, pages and a log
// that survives restarts.
//
//	go run ./examples/llmcron -demo
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	_ "time/tzdata" // zones on machines without a tz database

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
	"github.com/punctual-go/punctual/store/sqlite"

	"github.com/punctual-go/punctual/examples/llmcron/internal/demo"
	"github.com/punctual-go/punctual/examples/llmcron/internal/notify"
	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
	"github.com/punctual-go/punctual/examples/llmcron/internal/vault"
	"github.com/punctual-go/punctual/examples/llmcron/internal/web"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], os.Getenv, os.Stderr, signals))
}

// run is the program; it returns the exit code.
func run(args []string, env func(string) string, stderr io.Writer, signals <-chan os.Signal) int {
	c, err := readConfig(args, env, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "llmcron:", err)
		return 2
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	if err := serve(c, logger, signals); err != nil {
		logger.Error("llmcron failed", slog.String("error", err.Error()))
		return 1
	}
	return 0
}

// serve runs the server until a signal arrives, then drains. A second signal ends the drain with an error at once.
func serve(c config, logger *slog.Logger, signals <-chan os.Signal) (err error) {
	ctx := context.Background()
	v, err := vault.Open(c.secretKey, c.db+".key")
	if err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, c.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	calls := openai.New(openai.WithKeys(service.Keys(v)))
	defer calls.CloseIdleConnections()
	figures, err := newMetrics()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, figures.close()) }()
	notifier, err := notify.New(c.webhook, service.ReasonBudget, logger)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastNotices)
		defer cancel()
		notifier.Close(ctx)
	}()
	caller := service.NewCaller(calls)
	options := []punctual.Option{
		punctual.WithLogger(logger), punctual.WithObserver(observers{figures, notifier}), punctual.WithLease(c.lease),
		punctual.WithKindConcurrency(service.Kind, c.concurrency),
		punctual.WithRetention(punctual.DefaultRetention, 0), // a bound by number could cut off what a budget has to count
	}
	if c.rate > 0 {
		options = append(options, punctual.WithKindRate(service.Kind, time.Minute/time.Duration(c.rate), 1))
	}
	scheduler, err := punctual.New(store, punctual.Chain(caller, figures.Middleware), options...)
	if err != nil {
		return err
	}
	if err := figures.watch(scheduler); err != nil {
		return err
	}
	caller.Use(scheduler)
	tasks := service.New(scheduler, v, service.Ladder(c.attempts), c.timeout)

	site := web.Options{Token: c.token, Metrics: figures.handler(), Logger: logger, Dashboard: web.Dashboard(scheduler, logger, c.demo)}
	if c.demo {
		endpoint, err := demo.Start(besides(c.addr))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, endpoint.Close()) }()
		site.Demo = endpoint.URL
		logger.Warn("demo: an OpenAI-compatible endpoint that makes its answers up runs inside this process", slog.String("url", endpoint.URL))
		if err := sample(ctx, tasks, endpoint.URL); err != nil {
			return err
		}
	}

	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	server := newServer(web.Handler(tasks, site), defaultPatience, logger)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := scheduler.Start(ctx); err != nil {
		return errors.Join(err, server.Close())
	}
	logger.Info("llmcron listens", slog.String("url", "http://"+listener.Addr().String()))

	select {
	case err := <-served:
		return errors.Join(err, scheduler.Close())
	case s := <-signals:
		logger.Info("draining; a second signal ends at once", slog.String("signal", s.String()))
	}
	return drain(c, server, scheduler, signals)
}

// patienceWith says how long clients may take.
type patienceWith struct{ headers, request, idle time.Duration }

var defaultPatience = patienceWith{headers: 10 * time.Second, request: time.Minute, idle: 2 * time.Minute}

// maxHeaders bounds the headers of a request, in bytes.
const maxHeaders = 64 << 10

// newServer is a server that a client cannot keep busy by being slow.
func newServer(handler http.Handler, p patienceWith, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: p.headers, ReadTimeout: p.request, WriteTimeout: p.request, IdleTimeout: p.idle,
		MaxHeaderBytes: maxHeaders, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// lastNotices is how long notices may take to be delivered at the end.
const lastNotices = 5 * time.Second

// observers are told one after the other; the metrics also of each call to the store.
type observers struct {
	*metrics
	notifier *notify.Notifier
}

// Observe implements punctual.Observer.
func (o observers) Observe(e punctual.Event) {
	o.metrics.Observe(e)
	o.notifier.Observe(e)
}

// drain lets requests and runs finish.
func drain(c config, server *http.Server, scheduler *punctual.Scheduler, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.drain)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- errors.Join(server.Shutdown(ctx), scheduler.Shutdown(ctx)) }()
	select {
	case err := <-drained:
		return err
	case <-signals:
		return errors.Join(errors.New("ended by a second signal"), scheduler.Close(), server.Close())
	}
}

// besides is where the demo endpoint listens: on this machine, at the port after the server's own. Any port when the server takes any.
func besides(addr string) string {
	port := 0
	if _, own, err := net.SplitHostPort(addr); err == nil {
		if n, err := strconv.Atoi(own); err == nil && n > 0 && n < 1<<16-1 {
			port = n + 1
		}
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// sample creates one interval task on an empty database. In later runs its endpoint follows the demo endpoint, whose port may change.
func sample(ctx context.Context, tasks *service.Service, url string) error {
	const name, model = "Demo: a thought for the minute", "demo"
	all, _, err := tasks.List(ctx, 500, "")
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Name == name && t.Model == model {
			_, err := tasks.Patch(ctx, t.ID, service.Input{APIEndpoint: &url})
			return err
		}
	}
	if len(all) > 0 {
		return nil
	}
	one, kind, message := int64(1), service.Interval, "Give me a thought for this minute."
	n, m := name, model
	_, err = tasks.Create(ctx, service.Input{
		Name: &n, APIEndpoint: &url, Model: &m, MessageContent: &message, ScheduleType: &kind, IntervalMinutes: &one,
	})
	return err
}
