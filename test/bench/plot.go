package main

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"math"
	"slices"
)

// The plot has a panel for each load; both axes are logarithmic.
const (
	panelWidth, panelHeight = 330.0, 300.0
	panelLeft, panelTop     = 60.0, 50.0
	legendHeight            = 70.0
)

var colours = []string{"#0b62a4", "#777777", "#d62728", "#ff7f0e", "#9467bd", "#8c564b", "#2ca02c", "#98df8a", "#000000", "#bbbbbb"}

// plot draws what one event costs against its size, on PostgreSQL if that was measured.
func (r *report) plot() ([]byte, error) {
	var at []cell
	for _, c := range r.cells {
		if c.section == "sizes" {
			at = append(at, c)
		}
	}
	database := ""
	for _, c := range at {
		if c.database != noDatabase && (database == "" || c.database == "postgres") {
			database = c.database
		}
	}
	if database == "" {
		return nil, errors.New("plot: the section sizes was not measured")
	}
	var b bytes.Buffer
	width := panelLeft + float64(len(sizeLoads))*(panelWidth+panelLeft)
	height := panelTop + panelHeight + 40 + legendHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%.0f" y="18" font-size="14">Microseconds per event against its size in bytes, %s</text>`+"\n", panelLeft, database)
	for i, l := range sizeLoads {
		r.panel(&b, l.name, database, panelLeft+float64(i)*(panelWidth+panelLeft))
	}
	n := 0
	for i, p := range peers {
		if !slices.ContainsFunc(at, func(c cell) bool { return r.results[c][p.name] != nil }) {
			continue
		}
		x, y := panelLeft+float64(n%5)*210, panelTop+panelHeight+60+float64(n/5)*20
		fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="14" height="4" fill="%s"/><text x="%.0f" y="%.0f">%s</text>`+"\n", x, y-6, colours[i], x+20, y, p.name)
		n++
	}
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// panel draws one load at a horizontal position.
func (r *report) panel(b *bytes.Buffer, name, database string, left float64) {
	sizes := slices.Sorted(slices.Values(r.sizes))
	cost := func(size int, peer string) (float64, bool) {
		rate, ok := r.median(cell{"sizes", name, database, size, perSecond}, peer)
		if !ok || rate == 0 {
			return 0, false
		}
		return 1e6 / rate, true
	}
	low, high := math.Inf(1), math.Inf(-1) // powers of ten
	for _, p := range peers {
		for _, size := range sizes {
			if v, ok := cost(size, p.name); ok {
				low, high = min(low, math.Floor(math.Log10(v))), max(high, math.Ceil(math.Log10(v)))
			}
		}
	}
	if low >= high {
		return
	}
	first, last := math.Log(float64(sizes[0])), math.Log(float64(sizes[len(sizes)-1]))
	x := func(size int) float64 {
		if last == first {
			return left + panelWidth/2
		}
		return left + panelWidth*(math.Log(float64(size))-first)/(last-first)
	}
	y := func(v float64) float64 { return panelTop + panelHeight*(high-math.Log10(v))/(high-low) }
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f">%s</text>`+"\n", left, panelTop-10, html.EscapeString(name))
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(b, `<path d="M%.0f %.1fh%.0f" stroke="#dddddd"/><text x="%.0f" y="%.1f" text-anchor="end">%g</text>`+"\n", left, y(v), panelWidth, left-6, y(v)+4, v)
	}
	for _, size := range sizes {
		fmt.Fprintf(b, `<path d="M%.1f %.0fv%.0f" stroke="#dddddd"/><text x="%.1f" y="%.0f" text-anchor="middle">%d</text>`+"\n", x(size), panelTop, panelHeight, x(size), panelTop+panelHeight+18, size)
	}
	for i, p := range peers {
		command, line := "M", ""
		for _, size := range sizes {
			if v, ok := cost(size, p.name); ok {
				line += fmt.Sprintf("%s%.1f %.1f", command, x(size), y(v))
				command = "L"
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(size), y(v), colours[i])
			}
		}
		if line != "" {
			fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", line, colours[i])
		}
	}
}
