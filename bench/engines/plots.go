package main

import (
	"math"
	"slices"
	"strconv"

	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/svg"
)

// plots draws all figures, by the names of their files.
func (r *results) plots() map[string]string {
	all := map[string]string{
		"lateness.svg": r.latenessPlot(),
		"calls.svg":    r.callsPlot(),
	}
	if r.hasGrowth() {
		all["growth.svg"] = r.growthPlot()
	}
	return all
}

const (
	plotWidth  = 880.0
	panelWidth = plotWidth / 2
	labelWidth = 128.0
	valueWidth = 98.0
	rowHeight  = 19.0
	headHeight = 34.0
	footHeight = 26.0
)

// class is that of a library: by its place among all, so that it looks the same in every plot.
func class(lib library) string {
	return "c" + strconv.Itoa(slices.IndexFunc(libraries, func(l library) bool { return l.key == lib.key }))
}

// panel is one small plot with a row for each library.
type panel struct {
	title    string
	scenario string
	figures  []figure // one is drawn with its spread; two are joined by a line, the first of them hollow
	remark   string   // the key of a share that is written behind the value where it is less than all
}

func (r *results) latenessPlot() string {
	p50, p99 := figure{"p50", "p50", report.Duration}, figure{"p99", "p99", report.Duration}
	var panels []panel
	for _, key := range []string{"fires", "fires-fast"} {
		if sc, err := scenarioOf(key); err == nil && r.has(key) {
			panels = append(panels, panel{sc.title(r.Size) + ": late, p50 ○ and p99 ●", key, []figure{p50, p99}, "fired"})
		}
	}
	return r.panels(panels, "Lateness by library")
}

func (r *results) callsPlot() string {
	var panels []panel
	for _, pick := range []struct{ scenario, figure, words string }{
		{"register", "rate", ": tasks/s"},
		{"register-running", "rate", ": tasks/s"},
		{"burst", "rate", ": starts/s"},
		{"fires", "cpu", ": cores"},
		{"start", "p50", ""},
		{"start-idle", "p50", ""},
		{"edit", "reschedule", ""},
		{"edit", "remove", ""},
	} {
		sc, err := scenarioOf(pick.scenario)
		if err != nil || !r.has(pick.scenario) {
			continue
		}
		f := sc.figures[slices.IndexFunc(sc.figures, func(f figure) bool { return f.key == pick.figure })]
		title := sc.title(r.Size) + pick.words
		switch pick.scenario {
		case "edit":
			title = f.title + ", " + report.Count(r.Size.Registered) + " registered"
		case "start":
			title = "register to start, back to back: p50"
		case "start-idle":
			title = "register to start, " + report.Length(pauseBetween) + " between calls: p50"
		}
		remark := ""
		if pick.scenario == "burst" || pick.scenario == "fires" {
			remark = "fired"
		}
		panels = append(panels, panel{title, pick.scenario, []figure{f}, remark})
	}
	return r.panels(panels, "Figures by library")
}

// panels draws small plots, two in a row.
func (r *results) panels(panels []panel, title string) string {
	height := headHeight + rowHeight*float64(len(r.libraries())) + footHeight
	d := svg.New(plotWidth, height*float64((len(panels)+1)/2))
	for i, p := range panels {
		r.panel(d, p, panelWidth*float64(i%2), height*float64(i/2))
	}
	return d.File(title)
}

func (r *results) panel(d *svg.Drawing, p panel, x, y float64) {
	d.Text(x+12, y+20, "h", "", report.Capital(p.title))
	var all []float64
	for _, lib := range r.libraries() {
		for _, f := range p.figures {
			if v, ok := spreadOf(r.of(p.scenario, 0, lib.key), f); ok {
				all = append(all, positive(v.Least), positive(v.Greatest))
			}
		}
	}
	if len(all) == 0 {
		return
	}
	sc := svg.ScaleFor(all, x+labelWidth+8, x+panelWidth-valueWidth-12)
	top, bottom := y+headHeight, y+headHeight+rowHeight*float64(len(r.libraries()))
	for _, tick := range sc.Ticks(44) {
		d.Line("g", sc.At(tick), top, sc.At(tick), bottom)
		d.Text(sc.At(tick), bottom+14, "m", "middle", p.figures[0].unit.WriteTick(tick))
	}
	for row, lib := range r.libraries() {
		middle := top + rowHeight*(float64(row)+0.5)
		d.Text(x+labelWidth, middle+4, "", "end", lib.title)
		outcomes := r.of(p.scenario, 0, lib.key)
		var last report.Spread
		drawn := false
		var from float64
		for i, f := range p.figures {
			v, ok := spreadOf(outcomes, f)
			if !ok {
				continue
			}
			at := sc.At(positive(v.Median))
			switch {
			case len(p.figures) == 1:
				d.Line(class(lib)+" s", sc.At(positive(v.Least)), middle, sc.At(positive(v.Greatest)), middle)
				d.Dot(class(lib)+" f", at, middle, 4.5)
			case i == 0:
				from = at
				d.Dot(class(lib)+" o", at, middle, 4)
			default:
				if at-from > 9 {
					d.Line(class(lib)+" s", from+4, middle, at-4, middle)
				}
				d.Dot(class(lib)+" f", at, middle, 4.5)
			}
			last, drawn = v, true
		}
		words := "–"
		if drawn {
			words = p.figures[len(p.figures)-1].unit.Write(last.Median)
			if fired, ok := spreadOf(outcomes, figure{key: p.remark}); ok && fired.Median < 0.9995 {
				words += " (" + report.Share.Write(fired.Median) + ")"
			}
		}
		d.Text(x+panelWidth-valueWidth-2, middle+4, "m", "", words)
	}
}

// positive keeps what is nothing at all on a scale of logarithms.
func positive(v float64) float64 { return math.Max(v, 1e-9) }

// growthPlot draws a panel for each figure, with the number of tasks to the right and a line for each library.
func (r *results) growthPlot() string {
	const height, legend = 230.0, 30.0
	d := svg.New(plotWidth, legend+height*float64((len(growthFigures)+1)/2))
	x := 14.0
	for _, lib := range r.libraries() {
		d.Line(class(lib)+" s"+dash(lib), x, 18, x+18, 18)
		d.Text(x+23, 22, "", "", lib.title)
		x += 23 + 6.6*float64(len(lib.title)) + 16
	}
	for i, f := range growthFigures {
		r.growthPanel(d, f, panelWidth*float64(i%2), legend+height*float64(i/2), height)
	}
	return d.File("Cost by the number of tasks")
}

func (r *results) growthPanel(d *svg.Drawing, f figure, x, y, height float64) {
	d.Text(x+12, y+18, "h", "", report.Capital(f.title))
	var all, sizes []float64
	for _, tasks := range r.Size.Growth {
		sizes = append(sizes, float64(tasks))
		for _, lib := range r.libraries() {
			if v, ok := spreadOf(r.of(growthKey, tasks, lib.key), f); ok {
				all = append(all, positive(v.Median))
			}
		}
	}
	if len(all) == 0 {
		return
	}
	left, right, top, bottom := x+62, x+panelWidth-16, y+30, y+height-26
	across, up := svg.ScaleFor(sizes, left, right), svg.ScaleFor(all, bottom, top)
	for _, tick := range up.Ticks(20) {
		d.Line("g", left, up.At(tick), right, up.At(tick))
		d.Text(left-6, up.At(tick)+4, "m", "end", f.unit.WriteTick(tick))
	}
	for _, tasks := range r.Size.Growth {
		d.Text(across.At(float64(tasks)), bottom+16, "m", "middle", report.Short(float64(tasks)))
	}
	for _, lib := range slices.Backward(r.libraries()) { // ours on top
		var points [][2]float64
		for _, tasks := range r.Size.Growth {
			if v, ok := spreadOf(r.of(growthKey, tasks, lib.key), f); ok {
				points = append(points, [2]float64{across.At(float64(tasks)), up.At(positive(v.Median))})
			}
		}
		if len(points) > 1 {
			d.Lines(class(lib)+" s"+dash(lib), points)
		}
		for _, p := range points {
			d.Dot(class(lib)+" f", p[0], p[1], 2.5)
		}
	}
}

// dash tells the floors apart from libraries, and from each other.
func dash(lib library) string {
	switch lib.key {
	case "heap":
		return " d"
	case "afterfunc":
		return " e"
	}
	return ""
}
