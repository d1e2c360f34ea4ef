package main

import (
	"errors"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// plot draws throughput against the number of writers and of readers.
func (s *sheet) plot() ([]byte, error) {
	writers, readers := measure.Panel{Name: "appends a second, by writers"}, measure.Panel{Name: "streams read a second, by readers"}
	for _, n := range writerCounts {
		s.point(&writers, n, write(n, mediumEvent, "").name)
	}
	for _, n := range readerCounts {
		s.point(&readers, n, readStreams(n, fewStreams, false).name)
	}
	if len(writers.X) == 0 || len(readers.X) == 0 {
		return nil, errors.New("plot: needs the workloads write-… and read-… of each number of clients")
	}
	return measure.Plot(fmt.Sprintf("Clients that write or read as fast as they can, events of %d bytes", mediumEvent), peerNames(), []measure.Panel{writers, readers}), nil
}

// point adds the figures of a workload, if it was measured.
func (s *sheet) point(to *measure.Panel, x int, workload string) {
	for _, at := range s.rows {
		if at.workload != workload {
			continue
		}
		to.X = append(to.X, float64(x))
		if to.Lines == nil {
			to.Lines = make([][]float64, len(peers))
		}
		for i, p := range peers {
			v, _ := s.median(at, p.name, at.better.of)
			to.Lines[i] = append(to.Lines[i], v)
		}
	}
}
