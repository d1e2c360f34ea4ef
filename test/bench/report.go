package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	for _, f := range []struct {
		name string
		make func() ([]byte, error)
	}{{r.out, func() ([]byte, error) { return r.page(text) }}, {r.csv, r.table}, {r.svg, r.plot}, {r.queriesSVG, r.queryPlot}} {
		if f.name == "" {
			continue
		}
		b, err := f.make()
		if err == nil {
			err = os.WriteFile(f.name, b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// page is the report as a page of the documentation. What people wrote at its end stays.
func (r *report) page(text string) ([]byte, error) {
	old, err := os.ReadFile(r.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	links := ""
	if r.csv != "" && r.svg != "" {
		links = fmt.Sprintf("Each figure of each run: [%[1]s](%[1]s).\n\n![cost against size](%[2]s)\n\n", filepath.Base(r.csv), filepath.Base(r.svg))
	}
	return []byte("# Benchmarks\n\nWritten by `make bench BENCH=-full`; `make bench BENCH=-help` tells how to measure less.\n\n" + links + text + measure.Notes(old)), nil
}
