package console

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// Size of a chart's drawing; the page scales it.
const (
	chartWidth  = 600
	chartHeight = 120
)

// chart is a line over time, drawn as SVG. Its text is in the page, so that it is readable at any width.
type chart struct {
	Title  string
	Now    string // the last value, with its unit
	Most   string // the greatest one
	Since  string // how long ago the line begins
	Drawn  template.HTML
	Points int
}

// newChart draws values at times. unit formats a value.
func newChart(title string, times []time.Time, values []float64, unit func(float64) string) chart {
	c := chart{Title: title, Points: len(values)}
	if len(values) == 0 {
		return c
	}
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	first, last := times[0], times[len(times)-1]
	c.Now, c.Most, c.Since = unit(values[len(values)-1]), unit(most), seconds(math.Round(last.Sub(first).Seconds()))
	span, top := max(last.Sub(first).Seconds(), 1), max(most, 1e-9)
	var line strings.Builder
	for i, v := range values {
		x := times[i].Sub(first).Seconds() / span * chartWidth
		fmt.Fprintf(&line, "%.1f,%.1f ", x, chartHeight-2-v/top*(chartHeight-8))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`, chartWidth, chartHeight,
		template.HTMLEscapeString(fmt.Sprintf("%s over the last %s: now %s, at most %s", title, c.Since, c.Now, c.Most)))
	fmt.Fprintf(&b, `<polygon class="area" points="0,%d %s%d,%d"/><polyline class="line" points="%s"/></svg>`,
		chartHeight, line.String(), chartWidth, chartHeight, strings.TrimSpace(line.String()))
	c.Drawn = template.HTML(b.String()) // numbers and escaped text alone
	return c
}
