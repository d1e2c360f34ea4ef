package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// measured is a report of one load of two peers in two sizes.
func measured() *report {
	r := &report{options: options{runs: 3, sizes: sizes{256, 16384}}, results: map[cell]map[string][]float64{}}
	for _, size := range r.sizes {
		for _, rate := range []float64{3000, 1000, 2000} {
			r.add("sizes", trial{name: asyncOne, peer: peerID{ours, "postgres"}, size: size}, figure{"", rate, perSecond})
			r.add("sizes", trial{name: asyncOne, peer: peerID{transport, noDatabase}, size: size}, figure{"", 10 * rate, perSecond})
		}
	}
	for peer, rate := range map[string]float64{ours: 5000, reference: 1000} {
		r.add("publish", trial{name: asyncOne, peer: peerID{peer, "postgres"}, size: eventBytes}, figure{"", rate, perSecond})
	}
	return r
}

func TestReportComparesMedians(t *testing.T) {
	text := measured().markdown()
	for _, want := range []string{
		"| " + asyncOne + " | postgres | 256 | /s | 0.10 | 2,000 | 20,000 |",
		"| " + asyncOne + " | postgres | 512 | /s | 5.00 | 5,000 | 1,000 |",
		"| PostgreSQL, asynchronous publish ÷ reference without caching | ≥ 10.0 × | 5.00 × | **no** |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no row %s in\n%s", want, text)
		}
	}
}

func TestPlotIsXML(t *testing.T) {
	b, err := measured().plot()
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(string(b)))
	circles := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 4 {
		t.Errorf("%d points, want 4", circles)
	}
}
