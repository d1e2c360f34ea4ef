package main

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// queryPlot draws how long the queries took, to the first event and to the last, on the largest databases measured. The
// axis is logarithmic.
func (r *report) queryPlot() ([]byte, error) {
	const (
		left, barHeight, gap = 190.0, 12.0, 10.0
		decades              = 5 // from 1 ms
		decade               = 90.0
	)
	count := ""
	for _, n := range []int{500_000, 1_000_000, 10_000_000} {
		for _, c := range r.cells {
			if c.section == "queries" && strings.HasPrefix(c.name, scaleName(n)+",") {
				count = scaleName(n)
			}
		}
	}
	if count == "" {
		return nil, errors.New("plot: the section queries was not measured")
	}
	var b bytes.Buffer
	y := 50.0
	for _, database := range allDatabases {
		first := true
		for _, kind := range queryNames {
			toFirst, all := -1.0, -1.0
			for _, c := range r.cells {
				name, ok := strings.CutPrefix(c.name, count+", "+kind+", ")
				if c.section != "queries" || c.database != database || !ok || c.unit != milliseconds {
					continue
				}
				v, _ := r.median(c, ours)
				if name == "to the first" {
					toFirst = v
				} else {
					all = v
				}
			}
			if all < 0 {
				continue
			}
			if first {
				fmt.Fprintf(&b, `<text x="10" y="%.0f" font-size="14">%s</text>`+"\n", y+4, database)
				first, y = false, y+14
			}
			width := func(v float64) float64 { return max(1, decade*math.Log10(max(v, 1))) }
			fmt.Fprintf(&b, `<text x="%.0f" y="%.1f" text-anchor="end">%s</text>`+"\n", left-8, y+barHeight, html.EscapeString(kind))
			fmt.Fprintf(&b, `<rect x="%.0f" y="%.1f" width="%.1f" height="%.0f" fill="#0b62a4"/><text x="%.1f" y="%.1f" font-size="10">%s</text>`+"\n",
				left, y, width(toFirst), barHeight/1.2, left+width(toFirst)+4, y+9, measure.Number(toFirst)+" ms")
			fmt.Fprintf(&b, `<rect x="%.0f" y="%.1f" width="%.1f" height="%.0f" fill="#bbbbbb"/><text x="%.1f" y="%.1f" font-size="10">%s</text>`+"\n",
				left, y+barHeight, width(all), barHeight/1.2, left+width(all)+4, y+barHeight+9, measure.Number(all)+" ms")
			y += 2*barHeight + gap
		}
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", left+decades*decade+80, y+20) +
		`<rect width="100%" height="100%" fill="white"/>` + "\n" +
		fmt.Sprintf(`<text x="10" y="18" font-size="14">Reads by query from %s: milliseconds to the first event (blue) and to the last (grey)</text>`+"\n", count)
	for d := range decades + 1 {
		head += fmt.Sprintf(`<path d="M%.0f 34V%.0f" stroke="#dddddd"/><text x="%.0f" y="32" text-anchor="middle">%g</text>`+"\n", left+float64(d)*decade, y, left+float64(d)*decade, math.Pow(10, float64(d)))
	}
	return append([]byte(head), append(b.Bytes(), "</svg>\n"...)...), nil
}
