package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/launch"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// profileTime is how long a load is profiled. The NATS server's profiling port ends a request after five seconds.
const profileTime = 4 * time.Second

// blockRate is of runtime.SetBlockProfileRate: a sample for so many nanoseconds blocked, which costs little.
const blockRate = 10_000

// profiles runs our server as a user does, with a profiling port, and writes what it does under each load to files.
func (s *setup) profiles(ctx context.Context) error {
	database := "postgres"
	if len(s.databases) > 0 {
		database = s.databases[0]
	}
	id := peerID{ours, database}
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return err
	}
	args, err := s.arguments(ctx, id)
	if err != nil {
		return err
	}
	port, err := databases.FreePort()
	if err != nil {
		return err
	}
	config := filepath.Join(s.dir, "profile.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, "prof_block_rate: %d\n", blockRate), 0o600); err != nil {
		return err
	}
	p, err := s.serve(ctx, id.on(), binary, append(args, "-c", config, "-profile", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.profile, 0o755); err != nil {
		return err
	}
	client := newStreaming(p, s.options)
	for _, l := range []struct {
		name string
		load load
	}{{"publish", publishLoads[0]}, {"sync", syncLoads[1]}, {"replay", replayLoads[0]}} {
		if !s.only.Has(l.name) && l.name != "publish" { // the others read what it publishes
			continue
		}
		progress("profile %s on %s", l.name, database)
		rate, err := s.profileLoad(ctx, client, l.name, l.load, port)
		if err != nil {
			return fmt.Errorf("profile %s: %w", l.name, err)
		}
		progress("%s: %s/s while it was profiled", l.name, measure.Number(rate))
		if err := s.top(ctx, l.name); err != nil {
			return err
		}
	}
	return nil
}

// profileLoad repeats a load while the server makes its profiles, and returns the median rate.
func (s *setup) profileLoad(ctx context.Context, client peer, name string, l load, port int) (float64, error) {
	if _, err := client.run(ctx, l, eventBytes); err != nil { // grows
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- s.fetchAll(ctx, name, port) }()
	r := &report{results: map[cell]map[string][]float64{}}
	for {
		rate, err := client.run(ctx, l, eventBytes)
		if err != nil {
			return 0, errors.Join(err, <-done)
		}
		r.add("", trial{peer: peerID{ours, noDatabase}}, figure{"", rate, perSecond})
		select {
		case err := <-done:
			rate, _ := r.median(r.cells[0], ours)
			return rate, err
		default:
		}
	}
}

var profileKinds = []string{"profile", "allocs", "mutex", "block", "heap"}

// fileOf is the file of one kind of profile.
func (s *setup) fileOf(name, kind string) string {
	if kind == "profile" {
		kind = "cpu"
	}
	return filepath.Join(s.profile, name+"-"+kind+".pprof")
}

// fetchAll writes what each kind of profile gained during the same time; the heap's is what is in use at the end.
func (s *setup) fetchAll(ctx context.Context, name string, port int) error {
	fetch := func(kind, query string) error {
		url := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/%s%s", port, kind, query)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s: %s", url, response.Status, b)
		}
		if err != nil {
			return err
		}
		return os.WriteFile(s.fileOf(name, kind), b, 0o644)
	}
	errs := make([]error, len(profileKinds))
	var wg sync.WaitGroup
	for i, kind := range profileKinds[:4] {
		wg.Go(func() { errs[i] = fetch(kind, "?seconds="+strconv.Itoa(int(profileTime.Seconds()))) })
	}
	wg.Wait()
	errs[4] = fetch("heap", "")
	return errors.Join(errs...)
}

// top prints the first functions of each profile.
func (s *setup) top(ctx context.Context, name string) error {
	for _, kind := range profileKinds {
		args := []string{"tool", "pprof", "-top", "-nodecount=25"}
		if kind == "allocs" {
			args = append(args, "-sample_index=alloc_space")
		}
		text, err := launch.Output(ctx, "", nil, "go", append(args, s.fileOf(name, kind))...)
		if err != nil {
			return err
		}
		fmt.Printf("### %s: %s\n\n%s\n", name, kind, strings.TrimSpace(text)+"\n")
	}
	return nil
}
