package main

import (
	"math"
	"slices"
	"strings"

	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/svg"
)

const (
	plotWidth  = 880.0
	labelWidth = 190.0
	valueWidth = 170.0
	rowHeight  = 20.0
	headHeight = 34.0
	footHeight = 26.0
)

// class is the colour of a row: that of its server, or River's.
func class(r row) string {
	switch {
	case strings.HasPrefix(r.key, rowRiver):
		return "c5"
	case strings.HasPrefix(r.key, rowBare):
		return "c1"
	}
	return []string{"c0", "c3", "c4"}[slices.IndexFunc(backends, func(b backend) bool { return b.key == r.store })]
}

// plots draws what there are figures for, by the names of the files.
func (r *results) plots() map[string]string {
	all := make(map[string]string)
	var stored []scenario
	for _, sc := range scenariosOf(r.Size) {
		switch {
		case !slices.ContainsFunc(sc.rows, func(row row) bool { _, ok := r.spreadOf(sc.key, row.key, sc.figures[0].key); return ok }):
		case sc.group == groupOccurrences:
			all["occurrences.svg"] = r.ratesPlot(sc)
		case sc.group == groupClaims:
			stored = append(stored, sc)
		}
	}
	if len(stored) > 1 {
		all["claims.svg"] = r.claimsPlot(stored)
	}
	return all
}

// ratesPlot draws a line for each row: the spread of its rate, and a dot where its median is.
func (r *results) ratesPlot(sc scenario) string {
	var rows []row
	var all []float64
	for _, row := range sc.rows {
		if v, ok := r.spreadOf(sc.key, row.key, "rate"); ok {
			rows = append(rows, row)
			all = append(all, v.Least, v.Greatest)
		}
	}
	d := svg.New(plotWidth, headHeight+rowHeight*float64(len(rows))+footHeight)
	d.Text(12, 20, "h", "", "Occurrences a second")
	scale := svg.ScaleFor(all, labelWidth+12, plotWidth-valueWidth-12)
	bottom := headHeight + rowHeight*float64(len(rows))
	for _, tick := range scale.Ticks(60) {
		d.Line("g", scale.At(tick), headHeight, scale.At(tick), bottom)
		d.Text(scale.At(tick), bottom+15, "m", "middle", report.PerSecond.WriteTick(tick))
	}
	for i, row := range rows {
		v, _ := r.spreadOf(sc.key, row.key, "rate")
		middle := headHeight + rowHeight*(float64(i)+0.5)
		d.Text(labelWidth, middle+4, "", "end", row.title)
		d.Line(class(row)+" s", scale.At(v.Least), middle, scale.At(v.Greatest), middle)
		d.Dot(class(row)+" f", scale.At(v.Median), middle, 4.5)
		words := report.PerSecond.Write(v.Median)
		if bare := r.median(sc, rowBare+"-"+row.store, "rate"); bare > 0 && row.key != rowBare+"-"+row.store {
			words += ", " + report.Share.Write(v.Median/bare) + " of the bare loop"
		}
		d.Text(plotWidth-valueWidth-2, middle+4, "m", "", words)
	}
	return d.File("Occurrences a second, by store")
}

// claimsPlot draws a panel for each figure, with the number of stored tasks to the right and a line for each store.
func (r *results) claimsPlot(stored []scenario) string {
	const height, legend = 210.0, 30.0
	width := plotWidth / float64(len(claimFigures))
	d := svg.New(plotWidth, legend+height)
	x := 14.0
	for _, row := range stored[0].rows {
		d.Line(class(row)+" s", x, 18, x+18, 18)
		d.Text(x+23, 22, "", "", row.title)
		x += 23 + 6.8*float64(len(row.title)) + 16
	}
	for i, f := range claimFigures {
		left, right, top, bottom := width*float64(i)+58, width*float64(i+1)-16, legend+30, legend+height-26
		d.Text(width*float64(i)+12, legend+18, "h", "", report.Capital(f.title))
		var sizes, all []float64
		for k, sc := range stored {
			sizes = append(sizes, float64(r.Size.Stored[k]))
			for _, row := range sc.rows {
				if v, ok := r.spreadOf(sc.key, row.key, f.key); ok {
					all = append(all, math.Max(v.Median, 1e-9))
				}
			}
		}
		if len(all) == 0 {
			continue
		}
		across, up := svg.ScaleFor(sizes, left, right), svg.ScaleFor(all, bottom, top)
		for _, tick := range up.Ticks(20) {
			d.Line("g", left, up.At(tick), right, up.At(tick))
			d.Text(left-6, up.At(tick)+4, "m", "end", f.unit.WriteTick(tick))
		}
		for _, size := range sizes {
			d.Text(across.At(size), bottom+16, "m", "middle", report.Short(size))
		}
		for _, row := range stored[0].rows {
			var points [][2]float64
			for k, sc := range stored {
				if v, ok := r.spreadOf(sc.key, row.key, f.key); ok {
					points = append(points, [2]float64{across.At(sizes[k]), up.At(math.Max(v.Median, 1e-9))})
				}
			}
			if len(points) > 1 {
				d.Lines(class(row)+" s", points)
			}
			for _, p := range points {
				d.Dot(class(row)+" f", p[0], p[1], 2.5)
			}
		}
	}
	return d.File("Claims by the number of stored tasks")
}
