package main

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"
)

// filledSheet is a sheet with three runs of two workloads of two peers.
func filledSheet() *sheet {
	s := newSheet(options{runs: 3, duration: time.Second, scale: 1})
	closedLoop, openLoop := workload{name: "write-1-256", part: writing}, workload{name: "write-open", part: writing}
	for _, p := range peers {
		if p.name != oursPostgres && p.name != "table" {
			continue
		}
		for run := range 3 {
			n, took := 1000*(run+1), time.Millisecond
			if p.name == "table" {
				n, took = n/2, 3*time.Millisecond
			}
			r := newRecord()
			r.elapsed = time.Second
			for range n {
				r.add(outcome{events: 1}, took)
			}
			s.add(closedLoop, p, result{"", byRate, r})
			s.add(openLoop, p, result{"", byTail, r})
		}
	}
	return s
}

// Above 1 is better, of rates and of latencies.
func TestRatios(t *testing.T) {
	text := filledSheet().markdown()
	for _, want := range []string{"| write-1-256 | per second | 2.00 |", "| write-open | p99, ms | 3.00 |", "| write-1-256 | 2,000 (1.00 / 1.00) | 1,000 (3.00 / 3.00) |", "Failed operations: none."} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
}

// A run with failures must not look like one without.
func TestFailuresAreTold(t *testing.T) {
	s := filledSheet()
	r := newRecord()
	r.elapsed = time.Second
	r.fail(7, errLacks)
	s.add(workload{name: "write-open", part: writing}, peers[0], result{"", byTail, r})
	if text := s.markdown(); !strings.Contains(text, "Failed operations: write-open of ours-postgres: 7.\n") {
		t.Errorf("no failures in\n%s", text)
	}
}

func TestTableHasEachRun(t *testing.T) {
	b, err := filledSheet().table()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(b))).ReadAll()
	if err != nil || len(rows) != 1+2*2*3 {
		t.Errorf("%d rows, want a heading and 12: %v", len(rows), err)
	}
}
