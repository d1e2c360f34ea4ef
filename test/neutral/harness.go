package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A harness is peers that run.
type harness struct {
	options
	at     *place
	apart  *place // where stores are killed
	peers  []peer // in the order of the report
	stores []store
	filled []map[string][]stream // by peer
}

// startAll starts the chosen peers. The caller closes the harness even after an error.
func startAll(ctx context.Context, o options, at *place) (*harness, error) {
	h := &harness{options: o, at: at}
	var err error
	if h.apart, err = at.beside(); err != nil {
		return h, err
	}
	for _, p := range peers {
		if !o.peers.Has(p.name) {
			continue
		}
		progress("start %s", p.name)
		s, err := p.start(ctx, at)
		if s != nil {
			h.stores = append(h.stores, s)
		}
		if err != nil {
			return h, fmt.Errorf("%s: %w", p.name, err)
		}
		h.peers = append(h.peers, p)
		h.filled = append(h.filled, map[string][]stream{})
	}
	return h, nil
}

func (h *harness) close() error {
	var errs []error
	for _, s := range h.stores {
		errs = append(errs, s.close())
	}
	if h.apart != nil {
		errs = append(errs, h.apart.close())
	}
	return errors.Join(errs...)
}

// run takes all measures, run after run and the peers side by side, so that what disturbs the machine disturbs all of them. Each
// run begins with another peer. It tells of each measure, and returns how many failed.
func (h *harness) run(ctx context.Context, tell func(w workload, p peer, run int, results []result, err error)) (failed int) {
	for run := range h.runs {
		for _, w := range workloads {
			if !h.only.Has(w.name) {
				continue
			}
			for i := range h.peers {
				n := (i + run) % len(h.peers)
				if !h.peers[n].takes(w) {
					continue
				}
				results, err := h.take(ctx, w, n)
				if ctx.Err() != nil { // what was measured took long
					return failed
				}
				if err != nil {
					failed++
				}
				tell(w, h.peers[n], run, results, err)
			}
		}
	}
	return failed
}

func (p peer) takes(w workload) bool {
	return p.abilities&w.needs == w.needs && (p.parts == nil || slices.Contains(p.parts, w.part))
}

func (h *harness) take(ctx context.Context, w workload, n int) ([]result, error) {
	t := &trial{Context: ctx, options: h.options, peer: h.peers[n], at: h.at, apart: h.apart, store: h.stores[n], filled: h.filled[n]}
	defer t.leave()
	err := w.take(t)
	return t.results, err
}
