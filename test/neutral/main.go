// Command neutral measures event stores with the same workloads, on the same disk, in one run: this server, a table made by hand,
// Message DB, JetStream and NATS Streaming. The workloads are those of pyeventsourcing/eventstore-benchmarks, rebuilt from
// their description, and more. It prints a report in Markdown that begins with ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/launch"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

func main() {
	if os.Getenv(natsVariable) != "" {
		end(serveNATS())
		return
	}
	var o options
	o.register(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measureAll(ctx, o)
	stop()
	end(err)
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "neutral:", err)
		os.Exit(1)
	}
}

// progress tells the person who waits.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func measureAll(ctx context.Context, o options) (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if err := o.complete(); err != nil {
		return err
	}
	at, err := newPlace(ctx, o.binary, databases.Durable)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.close()) }()
	if o.check != "" {
		return check(ctx, o, at)
	}
	s := newSheet(o)
	if s.fsync, err = measure.SyncTime(at.dir); err != nil {
		return err
	}
	h, err := startAll(ctx, o, at)
	defer func() { err = errors.Join(err, h.close()) }()
	if err != nil {
		return err
	}
	failed := h.run(ctx, func(w workload, p peer, run int, results []result, err error) {
		if err != nil {
			progress("%s  %s  run %d: %v", w.name, p.name, run+1, err)
			return
		}
		for _, r := range results {
			progress("%s %s  %s  run %d: %v", w.name, r.what, p.name, run+1, r.record)
			s.add(w, p, r)
		}
	})
	s.interrupted = ctx.Err() != nil
	if s.machine, err = at.machine(); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d measures failed", failed)
	}
	return ctx.Err()
}

// newPlace makes one in a temporary directory, with our server's program.
func newPlace(ctx context.Context, binary string, d databases.Durability) (*place, error) {
	dir, err := os.MkdirTemp("", "nats-eventstore-neutral-")
	if err != nil {
		return nil, err
	}
	p := &place{dir: dir, durability: d}
	if binary != "" {
		p.server, err = filepath.Abs(binary)
	} else {
		p.server, err = launch.Server(ctx, dir)
	}
	return p, err
}
