package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds each wait for the browser.
const patience = 30 * time.Second

// missing skips the test, or fails it where everything has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// browser starts a Chromium that lives as long as the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("PUNCTUAL_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); path == "" && err == nil {
			path = found
		}
	}
	if path == "" {
		missing(t, "no Chromium: install Debian's package chromium, or name one in PUNCTUAL_CHROMIUM")
	}
	var options []chromedp.ExecAllocatorOption
	options = append(options, chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patience), chromedp.Env("TZ=America/New_York", "LANG=en_US.UTF-8"))
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "hide-scrollbars", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process
		closeBrowser()
		stop()
	})
	require.NoError(t, chromedp.Run(ctx))
	return ctx
}

// tab is a page of the browser that keeps account of what should not happen.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu     sync.Mutex
	faults []string
	asked  int
	allow  []string // what Chromium notes of answers that are expected
}

// open opens a tab on a dashboard below /punctual/. At the end of the test nothing may have been said on the console, and no request
// may have left the origin.
func open(t *testing.T, browser context.Context, dashboard http.Handler) *tab {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/punctual/", http.StripPrefix("/punctual", dashboard))
	server := httptest.NewServer(mux)
	ctx, closeTab := chromedp.NewContext(browser)
	p := &tab{t: t, ctx: ctx, base: server.URL + "/punctual/", allow: []string{"status of 422"}}
	t.Cleanup(func() {
		closeTab()
		server.CloseClientConnections() // ends the streams
		server.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Empty(t, p.faults, "what the browser complained about, or asked of others")
		assert.Positive(t, p.asked, "the account of requests has lost its way")
	})
	chromedp.ListenTarget(ctx, p.note)
	require.NoError(t, chromedp.Run(ctx)) // what the first run is given as context is the life of the tab
	p.do(network.Enable(), log.Enable(), runtime.Enable(), emulation.SetTimezoneOverride("America/New_York"), chromedp.EmulateViewport(1200, 900))
	return p
}

func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.asked++
		if !strings.HasPrefix(e.Request.URL, p.base) {
			p.faults = append(p.faults, "asked for "+e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, "threw "+e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		p.faults = append(p.faults, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		// Chromium notes each answer with an error status, also one that is expected and shown.
		expected := func(part string) bool { return strings.Contains(e.Entry.Text, part) }
		if e.Entry.Source != log.SourceNetwork || !slices.ContainsFunc(p.allow, expected) {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

// expected404 allows for pages that say that something is not there.
func (p *tab) expected404() { p.allow = append(p.allow, "status of 404") }

func (p *tab) do(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		require.NoError(p.t, err, "the page is: %s", p.whole())
	}
}

func (p *tab) visit(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base+path), chromedp.WaitReady("main"))
}

// click clicks what carries the text and waits until the page that it leads to is there.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	xpath := fmt.Sprintf(`//%s[normalize-space()=%q]`, selector, text)
	p.do(chromedp.Evaluate(`window.left = false`, nil), chromedp.Click(xpath, chromedp.BySearch))
	p.until(`window.left === undefined && document.readyState === "complete"`)
}

// until waits for an expression to become true. While a page is left, there is nothing to ask, which is not an error here.
func (p *tab) until(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	pause := time.NewTicker(30 * time.Millisecond)
	defer pause.Stop()
	for {
		var met bool
		if err := chromedp.Run(ctx, chromedp.Evaluate("!!("+expression+")", &met)); err == nil && met {
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			p.t.Fatalf("never came true: %s\nThe page is: %s", expression, p.whole())
		}
	}
}

// whole is the page's text for the message of a failure.
func (p *tab) whole() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	var text string
	_ = chromedp.Run(ctx, chromedp.Evaluate(`location.href + "\n" + document.querySelector("main").innerText`, &text))
	return text
}

// shows waits for a text in what is to be seen.
func (p *tab) shows(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector("main").innerText.includes(%q)`, text))
}

func (p *tab) text() string {
	p.t.Helper()
	var text string
	p.do(chromedp.Text("main", &text, chromedp.ByQuery))
	return text
}

// scheme makes the tab dark or light.
func (p *tab) scheme(name string) {
	p.t.Helper()
	p.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
}
