package otel_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/observe/otel"
	"github.com/punctual-go/punctual/store/memory"
)

// served runs a Scheduler through everything that is measured and returns what its Prometheus endpoint then serves: the labels of
// each series name, histograms with their parts.
func served(t *testing.T) map[string]map[string]bool {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	require.NoError(t, err)
	o, err := otel.New(otel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	require.NoError(t, err)
	store := &brokenStore{Store: memory.New()}
	s, err := punctual.New(store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		time.Sleep(time.Second)
		return punctual.Result{}, errors.New("boom")
	}), punctual.WithObserver(o))
	require.NoError(t, err)
	stop, err := o.Watch(s)
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.Add(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute), Retry: punctual.Retry{MaxAttempts: 2}}))
	_, err = s.RunNow(t.Context(), "t") // skipped, with a reason
	require.NoError(t, err)
	wait(time.Minute)
	store.fail(punctual.ErrUnavailable)
	wait(time.Minute)
	store.fail(nil)
	wait(time.Minute)

	families, err := registry.Gather()
	require.NoError(t, err)
	out := map[string]map[string]bool{}
	for _, f := range families {
		names := []string{f.GetName()}
		if f.GetType().String() == "HISTOGRAM" {
			names = []string{f.GetName() + "_bucket", f.GetName() + "_sum", f.GetName() + "_count"}
		}
		for _, name := range names {
			out[name] = map[string]bool{"job": true, "instance": true, "le": strings.HasSuffix(name, "_bucket")}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					out[name][l.GetName()] = true
				}
			}
		}
	}
	require.NoError(t, s.Shutdown(context.Background()))
	require.NoError(t, stop())
	return out
}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	ranges   = regexp.MustCompile(`\[[^\]]*\]`)
	word     = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*`)
	selector = regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
)

// language is what a query holds besides names of series and labels.
var language = []string{"sum", "max", "count", "by", "rate", "increase", "histogram_quantile", "or", "vector", "label_values"}

// TestTheDashboardAsksForServedMetricsOnly holds each query of the Grafana dashboard against what a Scheduler's endpoint serves.
func TestTheDashboardAsksForServedMetricsOnly(t *testing.T) {
	file, err := os.ReadFile("grafana/punctual.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
	}
	require.NoError(t, json.Unmarshal(file, &dashboard))
	synctest.Test(t, func(t *testing.T) {
		series := served(t)
		used := map[string]bool{}
		check := func(where, query, legend string) {
			names, labels := map[string]bool{}, map[string]bool{}
			plain := quoted.ReplaceAllString(ranges.ReplaceAllString(query, ""), "")
			for _, m := range selector.FindAllStringSubmatch(plain, -1) {
				for _, l := range word.FindAllString(m[2], -1) {
					labels[l] = true
				}
			}
			for _, m := range grouping.FindAllStringSubmatch(plain, -1) {
				for _, l := range word.FindAllString(m[1], -1) {
					labels[l] = true
				}
			}
			for _, l := range word.FindAllString(legend, -1) {
				if strings.Contains(legend, "{{"+l+"}}") {
					labels[l] = true
				}
			}
			rest := grouping.ReplaceAllString(regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(plain, ""), "")
			for _, w := range word.FindAllString(rest, -1) {
				if !slices.Contains(language, w) && w != "job" {
					names[w] = true
				}
			}
			assert.NotEmpty(t, names, "%s: %s names no metric", where, query)
			for name := range names {
				used[name] = true
				if assert.Contains(t, series, name, "%s asks for a metric that is not served", where) {
					for l := range labels {
						assert.True(t, series[name][l], "%s: %s has no label %s", where, name, l)
					}
				}
			}
		}
		ids := map[int]bool{}
		for _, p := range dashboard.Panels {
			assert.False(t, ids[p.ID], "panel id %d is there twice", p.ID)
			ids[p.ID] = true
			require.NotEmpty(t, p.Targets, p.Title)
			for _, target := range p.Targets {
				check(p.Title, target.Expr, target.LegendFormat)
			}
		}
		for _, v := range dashboard.Templating.List {
			if q, ok := v.Query.(map[string]any); ok {
				text, _ := q["query"].(string)
				check("variable "+v.Name, text, "")
			}
		}
		// The other way round: nothing that is measured is left out of the picture.
		for name := range series {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
			if name == "target_info" {
				continue
			}
			assert.True(t, used[name] || used[base+"_bucket"] || used[base+"_sum"], "no panel shows %s", name)
		}
	})
}
