package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const mebibytes = "MiB"

// resident is the memory that a process holds at the moment, as Linux counts it.
func resident(pid int) (mib float64, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib float64
			_, err := fmt.Sscan(rest, &kib)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", pid)
}
