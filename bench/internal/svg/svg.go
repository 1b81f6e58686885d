// Package svg draws the plots of this module's programs.
package svg

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Drawing is an SVG with a background of its own, so that it can be read on a light page and on a dark one.
type Drawing struct {
	b             strings.Builder
	width, height float64
}

// style has a class for each kind of mark, and c0, c1, ... for libraries in their order: ours, two floors, peers.
const style = `text{font:12px system-ui,sans-serif;fill:#1f2328}.b{fill:#fff}.h{font-weight:600}.m{fill:#59636e;font-size:11px}.g{stroke:#d1d9e0}` +
	`.c0{color:#0969da}.c1,.c2{color:#6e7781}.c3{color:#bc4c00}.c4{color:#1a7f37}.c5{color:#8250df}.c6{color:#bf3989}` +
	`.f{fill:currentColor}.s{fill:none;stroke:currentColor;stroke-width:2}.o{fill:none;stroke:currentColor;stroke-width:2}.d{stroke-dasharray:5 3}.e{stroke-dasharray:1.5 3}` +
	`@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.b{fill:#0d1117}.m{fill:#9198a1}.g{stroke:#3d444d}` +
	`.c0{color:#58a6ff}.c1,.c2{color:#9198a1}.c3{color:#f0883e}.c4{color:#3fb950}.c5{color:#bc8cff}.c6{color:#f778ba}}`

// New begins a drawing.
func New(width, height float64) *Drawing { return &Drawing{width: width, height: height} }

// File returns the text of the file. The title is what readers of the screen hear.
func (d *Drawing) File(title string) string {
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %s %s\" width=\"%[1]s\" height=\"%[2]s\" role=\"img\">\n<title>%s</title>\n<style>%s</style>\n"+
		"<rect class=\"b\" width=\"100%%\" height=\"100%%\" rx=\"6\"/>\n%s</svg>\n", num(d.width), num(d.height), html.EscapeString(title), style, d.b.String())
}

// Text writes at a point; the anchor is empty, middle or end.
func (d *Drawing) Text(x, y float64, class, anchor, text string) {
	if anchor != "" {
		anchor = ` text-anchor="` + anchor + `"`
	}
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(&d.b, "<text x=\"%s\" y=\"%s\"%s%s>%s</text>\n", num(x), num(y), class, anchor, html.EscapeString(text))
}

// Line draws from point to point.
func (d *Drawing) Line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, "<path class=\"%s\" d=\"M%s %sL%s %s\"/>\n", class, num(x1), num(y1), num(x2), num(y2))
}

// Dot draws a circle.
func (d *Drawing) Dot(class string, x, y, radius float64) {
	fmt.Fprintf(&d.b, "<circle class=\"%s\" cx=\"%s\" cy=\"%s\" r=\"%s\"/>\n", class, num(x), num(y), num(radius))
}

// Lines joins points.
func (d *Drawing) Lines(class string, points [][2]float64) {
	path := ""
	for i, p := range points {
		path += "ML"[min(i, 1):min(i, 1)+1] + num(p[0]) + " " + num(p[1])
	}
	fmt.Fprintf(&d.b, "<path class=\"%s\" d=\"%s\"/>\n", class, path)
}

// num writes a coordinate.
func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// Scale maps values to coordinates by their logarithm.
type Scale struct {
	low, high int // decades
	from, to  float64
}

// ScaleFor covers all values, which are greater than zero.
func ScaleFor(values []float64, from, to float64) Scale {
	s := Scale{low: math.MaxInt, high: math.MinInt, from: from, to: to}
	for _, v := range values {
		s.low = min(s.low, int(math.Floor(math.Log10(v))))
		s.high = max(s.high, int(math.Ceil(math.Log10(v))))
	}
	if s.low >= s.high {
		s.high = s.low + 1
	}
	return s
}

// At is the coordinate of a value.
func (s Scale) At(v float64) float64 {
	share := (math.Log10(v) - float64(s.low)) / float64(s.high-s.low)
	return s.from + share*(s.to-s.from)
}

// Ticks are the decades, or as many of them as leave a gap between two.
func (s Scale) Ticks(gap float64) []float64 {
	var all []float64
	step := max(1, int(math.Ceil(gap*float64(s.high-s.low)/math.Abs(s.to-s.from))))
	for decade := s.low; decade <= s.high; decade += step {
		all = append(all, math.Pow10(decade))
	}
	return all
}
