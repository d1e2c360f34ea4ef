package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// syncDelay is how much longer a sync takes on the device of the section delayed.
const syncDelay = 4 * time.Millisecond

// memoryDevice is where Linux has files that are never written to a disk.
const memoryDevice = "/dev/shm"

// devicePeers are those that wait for the disk before they acknowledge.
var devicePeers = measure.Names{ours, before, reference, referenceFile}

// delayedTrials are those of synchronous publishers on a device whose syncs take longer: of the databases, and of the servers that
// have files of their own.
func delayedTrials(s *setup, ctx context.Context) ([]trial, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install strace, which delays the syncs", err)
	}
	syncs := "fsync,fdatasync"
	return s.deviceTrials(ctx, "delayed", "", []string{strace, "-D", "-f", "--seccomp-bpf", "-qq", "-o", os.DevNull,
		"-e", "trace=" + syncs, "-e", "inject=" + syncs + ":delay_exit=" + strconv.FormatInt(syncDelay.Microseconds(), 10)})
}

// disklessTrials are those of synchronous publishers where a sync costs nothing.
func disklessTrials(s *setup, ctx context.Context) ([]trial, error) {
	if _, err := os.Stat(memoryDevice); err != nil {
		return nil, fmt.Errorf("the section needs %s, which only Linux has: %w", memoryDevice, err)
	}
	return s.deviceTrials(ctx, "diskless", memoryDevice, nil)
}

// deviceTrials are those of synchronous publishers on servers of their own, whose files are in parent, and which start through a
// command.
func (s *setup) deviceTrials(ctx context.Context, name, parent string, through []string) ([]trial, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if parent != "" {
		var err error
		if dir, err = os.MkdirTemp(parent, "nats-eventstore-bench-"); err != nil {
			return nil, err
		}
	}
	device := newSetup(s.options, dir)
	device.parent, device.through, device.binaries = parent, through, s.binaries
	device.peers = nil
	for _, peer := range devicePeers {
		if s.peers.Has(peer) {
			device.peers = append(device.peers, peer)
		}
	}
	if len(device.peers) == 0 {
		return nil, nil // an empty list would have all
	}
	s.closers = append(s.closers, func() error { return errors.Join(device.close(), os.RemoveAll(dir)) })
	return device.loadTrials(ctx, syncLoads, eventBytes)
}
