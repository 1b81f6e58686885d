// Package notify tells a webhook of calls that failed and of budgets that are used up.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
)

// Notice is the JSON body of a post.
type Notice struct {
	Event       string    `json:"event"` // "failed" or "budget"
	Text        string    `json:"text"`  // one line for people; what Slack and its kin show
	TaskID      string    `json:"task_id"`
	TaskName    string    `json:"task_name"`
	RunID       string    `json:"run_id"`
	Trigger     string    `json:"trigger"`
	Attempt     int       `json:"attempt"`
	ScheduledAt time.Time `json:"scheduled_at"`
	Error       string    `json:"error_message,omitempty"`
}

const (
	queued   = 256 // notices that may wait; further ones are dropped with a log line
	tries    = 4
	firstTry = time.Second // wait before the second try; it doubles
	patience = 10 * time.Second
)

// Notifier posts notices one after another. Its URL is a secret, since that is all that most webhooks ask for: no log shows it.
type Notifier struct {
	url    string
	budget string // reason of skips that are told
	client *http.Client
	logger *slog.Logger
	queue  chan Notice
	done   chan struct{}
	stop   context.Context
	cancel context.CancelFunc

	mu   sync.Mutex        // guards told and closed
	told map[string]string // day on which a task's budget was told
	over bool
}

// New makes a Notifier and starts its goroutine, which Close ends. Without a URL it only logs used-up budgets. budget is the reason of skips that mean a used-up budget.
func New(hook, budget string, logger *slog.Logger) (*Notifier, error) {
	u, err := url.Parse(hook)
	if hook != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("the webhook is not a URL that begins with https:// or http://") // not echoed: it is a secret
	}
	n := &Notifier{
		url: hook, budget: budget, logger: logger, queue: make(chan Notice, queued), done: make(chan struct{}), told: make(map[string]string),
		client: &http.Client{Timeout: patience, Transport: http.DefaultTransport.(*http.Transport).Clone()},
	}
	n.stop, n.cancel = context.WithCancel(context.Background())
	go n.run()
	return n, nil
}

// Observe implements punctual.Observer: it queues a notice where there is something to tell, and never waits.
func (n *Notifier) Observe(e punctual.Event) {
	run := e.Run
	notice := Notice{
		TaskID: run.TaskID, TaskName: run.TaskName, RunID: run.ID, Trigger: run.Trigger.String(), Attempt: run.Attempt,
		ScheduledAt: run.ScheduledAt, Error: run.Error,
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.over:
		return
	case e.Type == punctual.EventFinished && (run.State == punctual.StateFailed || run.State == punctual.StateLost):
		notice.Event, notice.Text = "failed", fmt.Sprintf("%s failed: %s", run.TaskName, run.Error)
	case e.Type == punctual.EventSkipped && run.Reason == n.budget:
		day := e.At.UTC().Format(time.DateOnly)
		if n.told[run.TaskID] == day {
			return
		}
		n.told[run.TaskID] = day
		notice.Event, notice.Text = "budget", run.TaskName+" has used up its budget of the day; calls stop until tomorrow"
		n.logger.Warn("budget used up, calls stop until tomorrow", slog.String("task_id", run.TaskID), slog.String("task_name", run.TaskName))
	default:
		return
	}
	if n.url == "" {
		return
	}
	select {
	case n.queue <- notice:
	default:
		n.logger.Warn("notice dropped: the webhook is too slow", slog.String("task_id", run.TaskID), slog.String("run_id", run.ID))
	}
}

func (n *Notifier) run() {
	defer close(n.done)
	for notice := range n.queue {
		if err := n.deliver(notice); err != nil {
			n.logger.Error("webhook failed", slog.String("task_id", notice.TaskID), slog.String("run_id", notice.RunID), slog.String("error", err.Error()))
		}
	}
}

// deliver posts a notice, again after a failure that may pass.
func (n *Notifier) deliver(notice Notice) error {
	body, err := json.Marshal(notice)
	if err != nil {
		return err
	}
	wait := firstTry
	for try := 1; ; try++ {
		again, err := n.post(body, notice)
		if err == nil || !again || try == tries {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-n.stop.Done():
			timer.Stop()
			return err
		}
		wait *= 2
	}
}

func (n *Notifier) post(body []byte, notice Notice) (again bool, err error) {
	req, err := http.NewRequestWithContext(n.stop, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the webhook's URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", notice.RunID+"/"+notice.Event)
	resp, err := n.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return true, errors.New(strings.ReplaceAll(err.Error(), n.url, "[webhook]"))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return false, nil
	}
	return resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500, fmt.Errorf("the webhook answered %d", resp.StatusCode)
}

// Close delivers what waits, each once more at most, and ends the goroutine; after ctx is done it gives up.
func (n *Notifier) Close(ctx context.Context) {
	n.mu.Lock()
	if !n.over {
		n.over = true
		close(n.queue)
	}
	n.mu.Unlock()
	select {
	case <-n.done:
	case <-ctx.Done():
	}
	n.cancel()
	<-n.done
	n.client.CloseIdleConnections()
}
