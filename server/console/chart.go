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

// newChart draws values at times, of which the last is at the right edge. The left one is window before it, or less while the values are
// younger than that. unit formats a value.
func newChart(title string, window time.Duration, times []time.Time, values []float64, unit func(float64) string) chart {
	c := chart{Title: title, Points: len(values)}
	if len(values) == 0 {
		return c
	}
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	end, top := times[len(times)-1], max(most, 1e-9)
	window = min(window, max(time.Minute, end.Sub(times[0])))
	c.Now, c.Most, c.Since = unit(values[len(values)-1]), unit(most), seconds(math.Round(window.Seconds()))
	at := func(t time.Time) float64 { return max(0, chartWidth*(1-end.Sub(t).Seconds()/window.Seconds())) }
	var line strings.Builder
	for i, v := range values {
		fmt.Fprintf(&line, "%.1f,%.1f ", at(times[i]), chartHeight-2-v/top*(chartHeight-8))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`, chartWidth, chartHeight,
		template.HTMLEscapeString(fmt.Sprintf("%s over the last %s: now %s, at most %s", title, c.Since, c.Now, c.Most)))
	fmt.Fprintf(&b, `<polygon class="area" points="%.1f,%d %s%d,%d"/><polyline class="line" points="%s"/></svg>`,
		at(times[0]), chartHeight, line.String(), chartWidth, chartHeight, strings.TrimSpace(line.String()))
	c.Drawn = template.HTML(b.String()) // numbers and escaped text alone
	return c
}
