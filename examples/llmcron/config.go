package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"time"
)

// config is what flags and environment say.
type config struct {
	addr, db  string
	token     string // LLMCRON_TOKEN
	secretKey string // LLMCRON_SECRET_KEY
	demo      bool
	drain     time.Duration
	timeout   time.Duration
	lease     time.Duration
	attempts  int
	webhook   string // LLMCRON_WEBHOOK

	concurrency, rate int
}

func readConfig(args []string, env func(string) string, usage io.Writer) (config, error) {
	var c config
	or := func(name, fallback string) string {
		if v := env(name); v != "" {
			return v
		}
		return fallback
	}
	flags := flag.NewFlagSet("llmcron", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&c.addr, "addr", or("LLMCRON_ADDR", "127.0.0.1:8080"), "address to listen on (LLMCRON_ADDR)")
	flags.StringVar(&c.db, "db", or("LLMCRON_DB", "llmcron.db"), "database file (LLMCRON_DB)")
	flags.BoolVar(&c.demo, "demo", false, "start a made-up OpenAI-compatible endpoint inside the process and create a sample task")
	flags.DurationVar(&c.drain, "drain", 30*time.Second, "how long runs may take to finish at shutdown")
	flags.DurationVar(&c.timeout, "timeout", 5*time.Minute, "how long one call may take")
	flags.DurationVar(&c.lease, "lease", 15*time.Second, "how long after a crash another process may take over what ran")
	flags.IntVar(&c.attempts, "attempts", 50, "how often a failing call is tried before its next occurrence is due")
	flags.IntVar(&c.concurrency, "concurrency", 10, "how many calls may be under way at a time")
	flags.IntVar(&c.rate, "rate", 0, "how many calls may start in a minute; 0 for no limit")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if c.attempts < 1 || c.concurrency < 1 || c.rate < 0 || c.rate > 60_000_000 {
		return c, errors.New("attempts and concurrency must be at least 1, and the rate between 0 and 60000000")
	}
	if c.drain <= 0 || c.timeout <= 0 || c.lease <= 0 {
		return c, errors.New("drain, timeout and lease must be longer than zero")
	}
	c.token, c.secretKey, c.webhook = env("LLMCRON_TOKEN"), env("LLMCRON_SECRET_KEY"), env("LLMCRON_WEBHOOK")
	if c.token == "" {
		return c, loopbackOnly(c.addr)
	}
	return c, nil
}

// loopbackOnly refuses an address that others could reach. A name is refused unless all that it resolves to is loopback.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	refused := errors.New("without LLMCRON_TOKEN the server listens on a loopback address only, such as 127.0.0.1:8080; set the token to listen elsewhere")
	if host == "" {
		return refused
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		if ips, err = net.LookupIP(host); err != nil || len(ips) == 0 {
			return refused
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return refused
		}
	}
	return nil
}
