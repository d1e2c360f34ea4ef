package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const mebibytes = "MiB"

// memoryTrials measure what the process of each server needed for the loads so far, of which one is repeated, so that
// there is one at least.
func memoryTrials(s *setup, ctx context.Context) ([]trial, error) {
	var all []trial
	for _, id := range s.chosen() {
		p, err := s.peer(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id.on(), err)
		}
		server, ok := p.(interface{ PID() int })
		if !ok || id.name == transport {
			continue
		}
		all = append(all, trial{"most memory of the server's process", id, eventBytes, func(ctx context.Context) ([]figure, error) {
			if _, err := p.run(ctx, publishLoads[0], eventBytes); err != nil {
				return nil, err
			}
			mib, err := memory(server.PID(), "VmHWM")
			return []figure{{"", mib, mebibytes}}, err
		}})
	}
	return all, nil
}

// memory is what Linux counts of a process (proc(5), status): VmRSS, resident now, or VmHWM, the most that was.
func memory(pid int, field string) (mib float64, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			var kib float64
			_, err := fmt.Sscan(rest, &kib)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no %s of process %d", field, pid)
}
