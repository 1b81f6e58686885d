package browsertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/web"
)

// looks are the pages of the picture, by name.
func (p *picture) looks() map[string]string {
	return map[string]string{
		"overview": "", "tasks": "tasks", "task": "task?id=invoices", "paused": "task?id=newsletter", "wrong": "task?id=feeds&schedule=every+5+parsecs",
		"run-failed": "run?id=" + p.runs["failed"], "run": "run?id=" + p.runs["succeeded"], "timeline": "timeline?span=6h", "timeline-instances": "timeline?by=instance&span=24h",
		"instances": "instances", "missing": "task?id=none",
	}
}

// TestPagesAreAccessible scans each page with axe-core, whose script PUNCTUAL_AXE names: dark and light, on a desk and on a phone.
func TestPagesAreAccessible(t *testing.T) {
	b := browser(t)
	path := os.Getenv("PUNCTUAL_AXE")
	script, err := os.ReadFile(path)
	if err != nil {
		missing(t, "no axe-core: name its axe.min.js in PUNCTUAL_AXE, e.g. after npm pack axe-core")
	}
	world := newPicture(t)
	p := open(t, b, web.Handler(world.s, web.WithClock(world.clock)))
	p.expected404()
	for scheme, width := range map[string]int64{"light": 1200, "dark": 375} {
		p.scheme(scheme)
		p.do(chromedp.EmulateViewport(width, 900))
		for name, path := range world.looks() {
			p.visit(path)
			var found []byte
			p.do(chromedp.Evaluate(string(script), nil), chromedp.Evaluate(
				`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) => r.violations.map((v) => [v.id, v.help, ...v.nodes.map((n) => n.html.slice(0, 200) + " " + n.failureSummary)]))`,
				&found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
					return p.WithAwaitPromise(true).WithReturnByValue(true)
				}))
			var violations [][]string
			require.NoError(t, json.Unmarshal(found, &violations))
			for _, v := range violations {
				assert.Fail(t, fmt.Sprintf("%s, %s, %d wide: %s", name, scheme, width, v))
			}
			var wide int64
			p.do(chromedp.Evaluate(`document.documentElement.scrollWidth`, &wide))
			assert.LessOrEqual(t, wide, width, "%s, %d wide: nothing makes the page scroll sideways", name, width)
		}
	}
}

// TestPictures makes the pictures of the documentation in the folder that PUNCTUAL_PICTURES names (make screenshots); with
// PUNCTUAL_PICTURES_ALL=1 those of all pages.
func TestPictures(t *testing.T) {
	folder := os.Getenv("PUNCTUAL_PICTURES")
	if folder == "" {
		t.Skip("PUNCTUAL_PICTURES names no folder")
	}
	b := browser(t)
	world := newPicture(t)
	p := open(t, b, web.Handler(world.s, web.WithClock(world.clock)))
	p.expected404()
	p.do(emulation.SetTimezoneOverride("Europe/London"))
	shoot := func(name, path, scheme string, width, height int64) {
		t.Helper()
		p.scheme(scheme)
		p.do(chromedp.EmulateViewport(width, height))
		p.visit(path)
		p.until(`document.getElementById("live").hidden === false || !document.body.dataset.view`)
		var shot []byte
		if height == 0 {
			p.do(chromedp.FullScreenshot(&shot, 100))
		} else {
			p.do(chromedp.CaptureScreenshot(&shot))
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, "dashboard-"+name+".png"), compact(t, shot), 0o644))
	}
	shoot("overview", "", "light", 1200, 680)
	shoot("task", "task?id=invoices", "dark", 1200, 900)
	shoot("timeline", "timeline?span=6h", "light", 1200, 480)
	if os.Getenv("PUNCTUAL_PICTURES_ALL") == "1" {
		for name, path := range world.looks() {
			for _, scheme := range []string{"light", "dark"} {
				shoot("all-"+name+"-"+scheme+"-wide", path, scheme, 1200, 0)
				shoot("all-"+name+"-"+scheme+"-narrow", path, scheme, 375, 0)
			}
		}
	}
}

// compact writes a picture anew with the best compression.
func compact(t *testing.T, picture []byte) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	require.NoError(t, encoder.Encode(&b, decoded))
	return b.Bytes()
}
