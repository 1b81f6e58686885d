package punctualtest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A goroutine inherits the profiler labels of the one that starts it. So a label on the goroutine of the test marks everything that the
// test, its Harnesses and their attempts start, however indirectly, and nothing of other tests that run at the same time.

const leakLabel = "punctualtest"

// watched are the tests whose goroutines are labelled, with how many Harnesses they made.
var watched = struct {
	sync.Mutex
	tests map[testing.TB]string
	made  int
}{tests: make(map[testing.TB]string)}

// watchGoroutines fails the test when goroutines are left that were started after the first Harness of the test was made. It looks
// after all that the test has registered to clean up since.
func watchGoroutines(t testing.TB, c Config) {
	watched.Lock()
	defer watched.Unlock()
	if watched.tests[t] != "" {
		return
	}
	watched.made++
	label := fmt.Sprint(watched.made)
	watched.tests[t] = label
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(leakLabel, label)))
	bubble := inBubble()
	t.Cleanup(func() {
		t.Helper()
		pprof.SetGoroutineLabels(context.Background())
		watched.Lock()
		delete(watched.tests, t)
		watched.Unlock()
		if left := leaks(label, c, bubble); len(left) > 0 {
			t.Errorf("punctualtest: %d goroutines are left that the test has started:\n%s", len(left), strings.Join(left, "\n"))
		}
	})
}

// leaks returns the stacks of the goroutines with the label, once they have had the time to end.
func leaks(label string, c Config, bubble bool) []string {
	const pause = time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		if bubble {
			synctest.Wait()
		}
		left := labelled(label, c.MayOutlive)
		if len(left) == 0 || bubble || waited >= min(c.Patience, time.Second) {
			return left
		}
		realTime.Sleep(pause)
	}
}

// labelled reads the stacks of the goroutines with the label out of the profile of all goroutines.
func labelled(label string, except []string) []string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return []string{fmt.Sprintf("the goroutines cannot be listed: %v", err)}
	}
	var left []string
	mark := fmt.Sprintf("%q:%q", leakLabel, label)
	_, stacks, _ := strings.Cut(profile.String(), "\n") // the first line is a total
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		head, body, _ := strings.Cut(stack, "\n")
		labels, body, _ := strings.Cut(body, "\n")
		if !strings.HasPrefix(labels, "# labels:") || !strings.Contains(labels, mark) {
			continue
		}
		if slices.ContainsFunc(except, func(name string) bool { return strings.Contains(body, "\t"+name+"+") }) {
			continue
		}
		count, _, _ := strings.Cut(head, " ")
		left = append(left, fmt.Sprintf("%s with this stack:\n%s", count, body))
	}
	return left
}
