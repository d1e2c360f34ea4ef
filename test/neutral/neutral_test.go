package main

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestPeers checks what each peer promises, and takes each workload with each peer, with a handful of operations: what they wrote must be
// there, and nothing may fail. No speed is asserted.
func TestPeers(t *testing.T) {
	for _, disk := range []string{onPostgres, onFiles} {
		t.Run(disk, func(t *testing.T) {
			t.Parallel()
			testPeers(t, disk)
		})
	}
}

func testPeers(t *testing.T, disk string) {
	at, err := newPlace(t.Context(), "", databases.Fast)
	if err != nil {
		t.Fatal(err)
	}
	o := options{runs: 1, duration: 10 * time.Millisecond, scale: 0.002, workers: 2}
	for _, p := range peers {
		if p.disk == disk {
			o.peers = append(o.peers, p.name)
		}
	}
	h, err := startAll(t.Context(), o, at)
	defer func() {
		if err := errors.Join(h.close(), at.close()); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range h.peers {
		t.Run(p.name, func(t *testing.T) { testStore(t, p, h.stores[i]) })
	}
	testWorkloads(t, h)
}

func testWorkloads(t *testing.T, h *harness) {
	taken, want := 0, 0
	for _, w := range workloads {
		for _, p := range h.peers {
			want += int(count(p.takes(w)))
		}
	}
	h.run(t.Context(), func(w workload, p peer, _ int, results []result, err error) {
		taken++
		if err != nil {
			t.Errorf("%s, %s: %v", w.name, p.name, err)
		}
		for _, r := range results {
			if r.n == 0 || r.failed > 0 {
				t.Errorf("%s %s, %s: %d operations, %d failed: %v", w.name, r.what, p.name, r.n, r.failed, r.failure)
			}
		}
	})
	if taken != want {
		t.Errorf("%d workloads were taken, want %d", taken, want)
	}
}
