// Command bench measures, in one run on one machine: our server on SQLite,
// PostgreSQL and MariaDB; NATS Streaming 0.25.6 without its cache on the same
// two database servers; and what the databases do alone. All of them have the
// system sync every message to disk before they answer; what a sync costs on
// this disk is part of the output. It prints a table in Markdown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

type options struct {
	runs      int
	n         int
	limit     time.Duration
	databases string
	columns   string
	binary    string
	out       string
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 3, "`number` of times that each measure is taken; the table shows medians")
	flag.IntVar(&o.n, "n", 100_000, "most messages of one measure")
	flag.DurationVar(&o.limit, "limit", 2*time.Second, "about the longest time of one measure")
	flag.StringVar(&o.databases, "databases", "sqlite,postgres,mysql", "databases to measure")
	flag.StringVar(&o.columns, "columns", "ours,reference,raw", "what to measure on them; raw needs ours, whose table it copies")
	flag.StringVar(&o.binary, "binary", "", "our server's `file`, instead of building it")
	flag.StringVar(&o.out, "out", "", "`file` to write the table to, besides standard output")
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
	if o.runs < 1 || o.n < 1 || o.limit <= 0 {
		return errors.New("-runs, -n and -limit must be positive")
	}
	dir, err := os.MkdirTemp("", "nats-eventstore-bench-")
	if err != nil {
		return err
	}
	s := &setup{options: o, dir: dir, servers: map[string]*databases.Server{}}
	defer func() { err = errors.Join(err, s.close(), os.RemoveAll(dir)) }()
	trials, err := s.trials(ctx)
	if err != nil {
		return err
	}
	fsync, err := syncTime(dir)
	if err != nil {
		return err
	}
	r := newReport(s.machine(), fsync)
	failed := 0
	for run := range o.runs {
		for _, t := range trials {
			if err := ctx.Err(); err != nil {
				return err
			}
			rate, err := t.take(ctx)
			if err != nil {
				failed++
				progress("run %d/%d  %s, %s, %s: %v", run+1, o.runs, t.measure, t.database, t.column, err)
				continue
			}
			progress("run %d/%d  %s, %s, %s: %s/s", run+1, o.runs, t.measure, t.database, t.column, thousands(rate))
			r.add(t, rate)
		}
	}
	text := r.markdown()
	if _, err := io.WriteString(os.Stdout, text); err != nil {
		return err
	}
	if o.out != "" {
		if err := os.WriteFile(filepath.Clean(o.out), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d measures failed", failed)
	}
	return nil
}

func (o options) has(list, name string) bool {
	for _, item := range strings.Split(list, ",") {
		if strings.TrimSpace(item) == name {
			return true
		}
	}
	return false
}
