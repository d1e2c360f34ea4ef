package main

import (
	"errors"
	"flag"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// options are the flags.
type options struct {
	only, peers   measure.Names
	runs          int
	duration      time.Duration
	scale         float64
	workers       int // at most, for each kind of operations; 0 has all
	quick, write  bool
	binary        string
	check, base   string
	out, csv, svg string
}

const (
	quickRuns     = 1
	quickDuration = 300 * time.Millisecond
	quickScale    = 0.02
)

func (o *options) register(f *flag.FlagSet) {
	f.Var(&o.only, "only", "`workloads` to measure: "+strings.Join(workloadNames(), ", ")+"; all of them if empty")
	f.Var(&o.peers, "peers", "who is measured: "+strings.Join(peerNames(), ", ")+"; all of them if empty")
	f.IntVar(&o.runs, "runs", 3, "`number` of times that each measure is taken; the tables show medians")
	f.DurationVar(&o.duration, "duration", 2*time.Second, "`time` of each measure, after a warm-up of a fifth of it")
	f.Float64Var(&o.scale, "scale", 1, "`part` of the streams to prefill")
	f.BoolVar(&o.quick, "quick", false, "one run of 300ms each with few streams: a look, no figures to keep")
	f.BoolVar(&o.write, "write", false, "write docs/reference/neutral.md, .csv and .svg; needs all workloads and peers")
	f.StringVar(&o.binary, "binary", "", "our server's `file`, instead of building it")
	f.StringVar(&o.check, "check", "", "compare two builds of this server, and write base.txt and new.txt for benchstat into this `directory`: see make bench-check")
	f.StringVar(&o.base, "base", "", "the earlier build's `file`, for -check")
	f.StringVar(&o.out, "out", "", "`file` to write the report to, besides standard output")
	f.StringVar(&o.csv, "csv", "", "`file` to write the figures of each run to")
	f.StringVar(&o.svg, "svg", "", "`file` to write the plot to")
}

// complete sets what follows from other flags.
func (o *options) complete() error {
	if err := errors.Join(o.only.Check("-only", workloadNames()), o.peers.Check("-peers", peerNames())); err != nil {
		return err
	}
	if o.check != "" {
		if err := o.completeCheck(); err != nil {
			return err
		}
	}
	if o.quick {
		o.runs, o.duration, o.scale = quickRuns, quickDuration, quickScale
	}
	if o.runs < 1 || o.duration <= 0 || o.scale <= 0 {
		return errors.New("-runs, -duration and -scale must be positive")
	}
	if o.write {
		if o.quick || len(o.only)+len(o.peers) > 0 {
			return errors.New("-write replaces the page of the documentation: leave out -quick, -only and -peers, or name files with -out, -csv and -svg")
		}
		o.out, o.csv, o.svg = "docs/reference/neutral.md", "docs/reference/neutral.csv", "docs/reference/neutral.svg"
	}
	return nil
}
