package measure

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
)

// A Panel is a part of a plot. Both axes are logarithmic.
type Panel struct {
	Name  string
	X     []float64   // ascending
	Lines [][]float64 // by series: a value for each of X, 0 where there is none
}

const (
	panelWidth, panelHeight = 330.0, 300.0
	panelLeft, panelTop     = 60.0, 50.0
	legendHeight            = 70.0
)

var colours = []string{"#0b62a4", "#777777", "#d62728", "#ff7f0e", "#9467bd", "#8c564b", "#2ca02c", "#98df8a", "#000000", "#bbbbbb"}

// Plot draws panels side by side as SVG, with a legend of the series that have a value.
func Plot(title string, series []string, panels []Panel) []byte {
	var b bytes.Buffer
	width := panelLeft + float64(len(panels))*(panelWidth+panelLeft)
	height := panelTop + panelHeight + 40 + legendHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%.0f" y="18" font-size="14">%s</text>`+"\n", panelLeft, html.EscapeString(title))
	for i, p := range panels {
		p.draw(&b, panelLeft+float64(i)*(panelWidth+panelLeft))
	}
	n := 0
	for i, name := range series {
		if !slices.ContainsFunc(panels, func(p Panel) bool { return slices.Max(p.Lines[i]) > 0 }) {
			continue
		}
		x, y := panelLeft+float64(n%5)*210, panelTop+panelHeight+60+float64(n/5)*20
		fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="14" height="4" fill="%s"/><text x="%.0f" y="%.0f">%s</text>`+"\n", x, y-6, colours[i], x+20, y, name)
		n++
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// draw draws a panel at a horizontal position.
func (p Panel) draw(b *bytes.Buffer, left float64) {
	low, high := math.Inf(1), math.Inf(-1) // powers of ten
	for _, line := range p.Lines {
		for _, v := range line {
			if v > 0 {
				low, high = min(low, math.Floor(math.Log10(v))), max(high, math.Ceil(math.Log10(v)))
			}
		}
	}
	if low >= high {
		return
	}
	first, last := math.Log(p.X[0]), math.Log(p.X[len(p.X)-1])
	x := func(at float64) float64 {
		if last == first {
			return left + panelWidth/2
		}
		return left + panelWidth*(math.Log(at)-first)/(last-first)
	}
	y := func(v float64) float64 { return panelTop + panelHeight*(high-math.Log10(v))/(high-low) }
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f">%s</text>`+"\n", left, panelTop-10, html.EscapeString(p.Name))
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(b, `<path d="M%.0f %.1fh%.0f" stroke="#dddddd"/><text x="%.0f" y="%.1f" text-anchor="end">%g</text>`+"\n", left, y(v), panelWidth, left-6, y(v)+4, v)
	}
	for _, at := range p.X {
		fmt.Fprintf(b, `<path d="M%.1f %.0fv%.0f" stroke="#dddddd"/><text x="%.1f" y="%.0f" text-anchor="middle">%g</text>`+"\n", x(at), panelTop, panelHeight, x(at), panelTop+panelHeight+18, at)
	}
	for i, values := range p.Lines {
		command, line := "M", ""
		for j, v := range values {
			if v > 0 {
				line += fmt.Sprintf("%s%.1f %.1f", command, x(p.X[j]), y(v))
				command = "L"
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(p.X[j]), y(v), colours[i])
			}
		}
		if line != "" {
			fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", line, colours[i])
		}
	}
}
