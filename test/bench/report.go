package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// report collects the figures of all runs.
type report struct {
	options
	machine string
	fsync   time.Duration
	// interrupted is the section that was not measured to its end; "": all were.
	interrupted string
	cells       []cell                        // in the order of the first figure
	results     map[cell]map[string][]float64 // by peer
}

// A cell is a row of the report: what all peers in it can be compared by.
type cell struct {
	section, name, database string
	size                    int
	unit                    string
}

func (r *report) add(section string, t trial, f figure) {
	name := t.name
	if f.what != "" {
		name += ", " + f.what
	}
	at := cell{section, name, t.peer.database, t.size, f.unit}
	if r.results[at] == nil {
		r.cells = append(r.cells, at)
		r.results[at] = map[string][]float64{}
	}
	r.results[at][t.peer.name] = append(r.results[at][t.peer.name], f.value)
}

// median is that of a peer's runs. A peer without database is the same in all rows.
func (r *report) median(at cell, peer string) (float64, bool) {
	values := slices.Clone(r.results[at][peer])
	if len(values) == 0 && at.database != noDatabase {
		at.database = noDatabase
		values = slices.Clone(r.results[at][peer])
	}
	if len(values) == 0 {
		return 0, false
	}
	return measure.Median(values), true
}

// write prints the report and writes its files.
func (r *report) write() error {
	text := r.markdown()
	fmt.Print(text)
	return measure.WriteFiles(
		measure.Output{Name: r.out, Make: func() ([]byte, error) { return r.page(text) }}, measure.Output{Name: r.csv, Make: r.table},
		measure.Output{Name: r.svg, Make: r.plot}, measure.Output{Name: r.queriesSVG, Make: r.queryPlot})
}

// page is the report as a page of the documentation. What people wrote at its end stays.
func (r *report) page(text string) ([]byte, error) {
	notes, err := measure.NotesOf(r.out)
	if err != nil {
		return nil, err
	}
	title, flags := "Benchmarks", "-full"
	if len(r.only) > 0 {
		title, flags = title+": "+strings.Join(r.only, ", "), fmt.Sprintf("'-full -only %s -out …'", &r.only)
	}
	return []byte("# " + title + "\n\nWritten by `make bench BENCH=" + flags + "`; `make bench BENCH=-help` tells how to measure less.\n\n" +
		measure.Links(r.csv, r.svg, "cost against size") + text + notes), nil
}
