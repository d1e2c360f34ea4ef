package main

import (
	"errors"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// plot draws what one event costs against its size, on PostgreSQL if that was measured.
func (r *report) plot() ([]byte, error) {
	database := ""
	for _, c := range r.cells {
		if c.section == "sizes" && c.database != noDatabase && (database == "" || c.database == "postgres") {
			database = c.database
		}
	}
	if database == "" {
		return nil, errors.New("plot: the section sizes was not measured")
	}
	sizes := slices.Sorted(slices.Values(r.sizes))
	var panels []measure.Panel
	for _, l := range sizeLoads {
		p := measure.Panel{Name: l.name, Lines: make([][]float64, len(peers))}
		for _, size := range sizes {
			p.X = append(p.X, float64(size))
			for i, peer := range peers {
				rate, _ := r.median(cell{"sizes", l.name, database, size, perSecond}, peer.name)
				cost := 0.0
				if rate > 0 {
					cost = 1e6 / rate
				}
				p.Lines[i] = append(p.Lines[i], cost)
			}
		}
		panels = append(panels, p)
	}
	return measure.Plot("Microseconds per event against its size in bytes, "+database, peerNames(), panels), nil
}
