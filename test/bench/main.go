// Command bench measures, in one run on one machine with the same client code: our server on SQLite, PostgreSQL and
// MariaDB; NATS Streaming 0.25.6 in its modes; JetStream; and what the databases and the transport do alone. It prints
// a report in Markdown. Its flags choose sections, databases and peers, so that a single step takes seconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

func main() {
	if child, ok := children[os.Getenv(childVariable)]; ok {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	o.register(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// progress tells the person who waits.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func bench(ctx context.Context, o options) (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	o.complete()
	if err := o.validate(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nats-eventstore-bench-")
	if err != nil {
		return err
	}
	s := newSetup(o, dir)
	defer func() { err = errors.Join(err, s.close(), os.RemoveAll(dir)) }()
	if o.profile != "" {
		return s.profiles(ctx)
	}
	r := &report{options: o, results: map[cell]map[string][]float64{}}
	if r.fsync, err = measure.SyncTime(dir); err != nil {
		return err
	}
	failed := 0
	for _, sec := range sections {
		if !o.only.Has(sec.name) {
			continue
		}
		n, err := s.measure(ctx, sec, r)
		if ctx.Err() != nil { // what was measured took long
			r.interrupted = sec.name
			break
		}
		if err != nil { // the others are worth a report
			progress("section %s: %v", sec.name, err)
			n++
		}
		failed += n
	}
	r.machine = s.machine()
	if err := r.write(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d measures failed", failed)
	}
	return ctx.Err()
}

// measure takes the trials of a section, run after run so that what disturbs the machine disturbs all peers, and
// returns how many failed.
func (s *setup) measure(ctx context.Context, sec section, r *report) (failed int, err error) {
	trials, err := sec.trials(s, ctx)
	if err != nil {
		return 0, err
	}
	runs := s.runs
	if sec.once {
		runs = 1
	}
	for run := range runs {
		for i, t := range trials {
			if err := ctx.Err(); err != nil {
				return failed, err
			}
			at := fmt.Sprintf("%s  run %d/%d  %d/%d  %s, %s", sec.name, run+1, runs, i+1, len(trials), t.name, t.peer.on())
			figures, err := t.take(ctx)
			if err != nil {
				failed++
				progress("%s: %v", at, err)
				continue
			}
			for _, f := range figures {
				progress("%s: %s%s %s", at, f.detail(), measure.Number(f.value), f.unit)
				r.add(sec.name, t, f)
			}
		}
	}
	return failed, nil
}
