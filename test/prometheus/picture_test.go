package prometheus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A picture shows the panels of the dashboard, where Grafana puts them, with the data of Prometheus. Grafana draws them finer.
type picture struct {
	bytes.Buffer
	o        *observer
	from, to time.Time
}

// The measures of a unit of Grafana's grid, whose lines have 24 of them, and of a panel.
const (
	unitWidth, unitHeight = 56.0, 27.0
	border                = 6.0
	legendLine            = 15.0
)

var colours = []string{"#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a"}

// draw returns the dashboard as SVG.
func draw(t *testing.T, o *observer, from, to time.Time) []byte {
	t.Helper()
	panels := panels(t)
	last := panels[len(panels)-1].GridPos
	p := &picture{o: o, from: from, to: to}
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12" fill="#ccccdc">`+"\n", 24*unitWidth, (last.Y+last.H)*unitHeight)
	p.WriteString(`<rect width="100%" height="100%" fill="#111217"/>` + "\n")
	for _, panel := range panels {
		p.panel(panel)
	}
	p.WriteString("</svg>\n")
	return p.Bytes()
}

func (p *picture) panel(it panel) {
	x, y, w, h := it.GridPos.X*unitWidth, it.GridPos.Y*unitHeight, it.GridPos.W*unitWidth-border, it.GridPos.H*unitHeight-border
	if it.Type == "row" {
		fmt.Fprintf(p, `<text x="%.0f" y="%.0f" font-size="16" font-weight="bold">%s</text>`+"\n", x+border, y+unitHeight*0.7, html.EscapeString(it.Title))
		return
	}
	fmt.Fprintf(p, `<rect x="%.0f" y="%.0f" width="%.0f" height="%.0f" fill="#181b1f" stroke="#2c3235"/><text x="%.0f" y="%.0f" font-weight="bold">%s</text>`+"\n",
		x, y, w, h, x+8, y+17, html.EscapeString(it.Title))
	lines := p.lines(it)
	if it.Type == "stat" {
		p.figures(it, lines, x, y, w, h)
		return
	}
	p.graph(it, lines, x, y, w, h)
}

// figures draws the last values, or the names of the series.
func (p *picture) figures(it panel, lines []line, x, y, w, h float64) {
	for i, l := range lines {
		text, size := formatted(l.points[len(l.points)-1].value, it.FieldConfig.Defaults.Unit), 30.0
		if it.Options.TextMode == "name" {
			text, size = l.name, 16
		}
		at := y + h*(float64(i)+0.8)/(float64(len(lines))+0.4)
		fmt.Fprintf(p, `<text x="%.0f" y="%.0f" font-size="%.0f" text-anchor="middle" fill="%s">%s</text>`+"\n", x+w/2, at+size/2, size, it.colour(l), html.EscapeString(text))
	}
}

// graph draws lines over time, and their names.
func (p *picture) graph(it panel, lines []line, x, y, w, h float64) {
	shown := lines[:min(len(lines), 4)]
	left, top, width, height := x+58, y+28, w-70, h-48-legendLine*float64(len(shown))
	highest := 0.0
	for _, l := range lines {
		for _, at := range l.points {
			highest = max(highest, at.value)
		}
	}
	step := nice(highest / 3)
	highest = step * math.Ceil(max(highest/step, 1))
	for v := 0.0; v <= highest*1.001; v += step {
		at := top + height*(1-v/highest)
		fmt.Fprintf(p, `<path d="M%.0f %.1fh%.0f" stroke="#2c3235"/><text x="%.0f" y="%.1f" font-size="11" text-anchor="end">%s</text>`+"\n",
			left, at, width, left-5, at+4, formatted(v, it.FieldConfig.Defaults.Unit))
	}
	for i, l := range lines {
		var d strings.Builder
		for j, at := range l.points {
			command := "L"
			if j == 0 || at.time-l.points[j-1].time > 2*interval.Seconds() {
				command = "M" // a gap
			}
			fmt.Fprintf(&d, "%s%.1f %.1f", command, left+width*(at.time-float64(p.from.Unix()))/p.to.Sub(p.from).Seconds(), top+height*(1-at.value/highest))
		}
		fmt.Fprintf(p, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", d.String(), colours[i%len(colours)])
	}
	for i, l := range shown {
		at := y + h - 6 - legendLine*float64(len(shown)-1-i)
		fmt.Fprintf(p, `<path d="M%.0f %.1fh12" stroke="%s" stroke-width="3"/><text x="%.0f" y="%.1f" font-size="11">%s</text>`+"\n",
			x+10, at-4, colours[i%len(colours)], x+28, at, html.EscapeString(l.name))
	}
}

// interval is the time between two points of a line.
const interval = time.Second

type line struct {
	name   string
	points []point
}

type point struct{ time, value float64 }

// lines returns the data of a panel.
func (p *picture) lines(it panel) (all []line) {
	for _, target := range it.Targets {
		resp, err := http.Get(p.o.url + "/api/v1/query_range?" + url.Values{
			"query": {strings.NewReplacer("$__rate_interval", "5s", "$__range", "1h", "$instance", ".+").Replace(target.Expr)},
			"start": {fmt.Sprint(p.from.Unix())}, "end": {fmt.Sprint(p.to.Unix())}, "step": {fmt.Sprint(interval.Seconds())},
		}.Encode())
		if err != nil {
			p.o.t.Fatal(err)
		}
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Values [][2]any
				}
			}
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil {
			p.o.t.Fatal(err)
		}
		for _, r := range answer.Data.Result {
			l := line{name: regexp.MustCompile(`{{(\w+)}}`).ReplaceAllStringFunc(target.LegendFormat, func(label string) string { return r.Metric[strings.Trim(label, "{}")] })}
			for _, v := range r.Values {
				if value, err := strconv.ParseFloat(v[1].(string), 64); err == nil && !math.IsNaN(value) {
					l.points = append(l.points, point{v[0].(float64), value})
				}
			}
			if len(l.points) > 0 {
				all = append(all, l)
			}
		}
	}
	return all
}

// colour returns the colour of a last value, by the panel's limits.
func (it panel) colour(l line) string {
	colour := "green"
	for _, s := range it.FieldConfig.Defaults.Thresholds.Steps {
		if s.Value != nil && l.points[len(l.points)-1].value >= *s.Value {
			colour = s.Color
		}
	}
	return map[string]string{"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}[colour]
}

// nice returns the next greater number among 1, 2 and 5 times a power of ten.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= v {
			return factor * power
		}
	}
	return 10 * power
}

// formatted returns a value in Grafana's unit, in short.
func formatted(v float64, unit string) string {
	steps := map[string][]string{
		"s": {"s", "ms", "µs"}, "bytes": {"B", "kB", "MB", "GB"}, "Bps": {"B/s", "kB/s", "MB/s", "GB/s"}, "cps": {"/s", "k/s", "M/s"}, "reqps": {"/s", "k/s", "M/s"},
		"short": {"", "k", "M", "G"},
	}[unit]
	switch {
	case unit == "s" && v >= 2*86400:
		return fmt.Sprintf("%.0f days", v/86400)
	case unit == "s":
		for ; v > 0 && v < 1 && len(steps) > 1; steps = steps[1:] {
			v *= 1000
		}
	default:
		for ; v >= 1000 && len(steps) > 1; steps = steps[1:] {
			v /= 1000
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%.4g %s", math.Round(v*100)/100, steps[0]))
}

// panel is what is read of one in the dashboard.
type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H float64 }
	Targets     []struct{ Expr, LegendFormat string }
	Options     struct{ TextMode string }
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Steps []struct {
					Value *float64
					Color string
				}
			}
		}
	}
}

// panels returns those of the dashboard, from top to bottom.
func panels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &dashboard); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(dashboard.Panels, func(a, b panel) int { return int(a.GridPos.Y - b.GridPos.Y) })
	return dashboard.Panels
}
