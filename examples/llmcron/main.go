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
	"syscall"
	"time"
	_ "time/tzdata" // zones on machines without a tz database

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
	"github.com/punctual-go/punctual/store/sqlite"

	"github.com/punctual-go/punctual/examples/llmcron/internal/demo"
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
	figures := newMetrics()
	scheduler, err := punctual.New(store, service.Executor(calls), punctual.WithLogger(logger), punctual.WithObserver(figures), punctual.WithLease(c.lease))
	if err != nil {
		return err
	}
	figures.watch(scheduler)
	tasks := service.New(scheduler, v, punctual.Retry{MaxAttempts: c.attempts}, c.timeout)

	options := web.Options{Token: c.token, Metrics: figures.handler(), Logger: logger}
	if c.demo {
		endpoint, err := demo.Start()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, endpoint.Close()) }()
		options.Demo = endpoint.URL
		logger.Warn("demo: an OpenAI-compatible endpoint that makes its answers up runs inside this process", slog.String("url", endpoint.URL))
		if err := sample(ctx, tasks, endpoint.URL); err != nil {
			return err
		}
	}

	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: web.Handler(tasks, options), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
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

// sample creates one interval task on an empty database. In later runs its endpoint follows the demo endpoint, whose port changes.
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
