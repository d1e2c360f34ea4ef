package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// options are the flags.
type options struct {
	only, databases, peers measure.Names
	sizes                  sizes
	runs                   int
	n                      int
	limit                  time.Duration
	full                   bool
	binary, before         string
	profile                string
	commitDelay            int // microseconds
	out, csv, svg          string
	queriesSVG             string
}

// sizes are sizes of encoded events in bytes, separated by commas.
type sizes []int

func (l *sizes) String() string {
	var parts []string
	for _, size := range *l {
		parts = append(parts, strconv.Itoa(size))
	}
	return strings.Join(parts, ",")
}

func (l *sizes) Set(text string) error {
	*l = nil
	for _, part := range strings.Split(text, ",") {
		size, err := strconv.Atoi(part)
		if err != nil || size < leastEventBytes {
			return fmt.Errorf("size %q is not a number from %d on", part, leastEventBytes)
		}
		*l = append(*l, size)
	}
	return nil
}

func (o *options) register(f *flag.FlagSet) {
	f.Var(&o.only, "only", "`sections` to measure: "+strings.Join(sectionNames(), ", ")+"; all of them if empty")
	f.Var(&o.databases, "db", "`databases`: sqlite, postgres, mysql; all of them if empty")
	f.Var(&o.peers, "peers", "who is measured: "+strings.Join(peerNames(), ", ")+"; all of them if empty")
	f.Var(&o.sizes, "sizes", "`bytes` of an event in the section sizes (default 256,16384; with -full 256,1024,16384); elsewhere it has "+strconv.Itoa(eventBytes))
	f.IntVar(&o.runs, "runs", 3, "`number` of times that each measure is taken; the tables show medians")
	f.IntVar(&o.n, "n", 100_000, "most messages of one measure")
	f.DurationVar(&o.limit, "limit", 0, "about the longest `time` of one measure (default 400ms, with -full 600ms)")
	f.IntVar(&o.commitDelay, "commit_delay", 0, "`microseconds` that each flush of PostgreSQL's log takes longer, as on a slower disk; needs -db postgres")
	f.BoolVar(&o.full, "full", false, "measure more, and write docs/reference/benchmarks.md, .csv and .svg if nothing is left out")
	f.StringVar(&o.binary, "binary", "", "our server's `file`, instead of building it")
	f.StringVar(&o.before, "before", "", "another `file` of our server, to be compared with it")
	f.StringVar(&o.profile, "profile", "", "write profiles of our server into this `directory` instead of measuring")
	f.StringVar(&o.out, "out", "", "`file` to write the report to, besides standard output")
	f.StringVar(&o.csv, "csv", "", "`file` to write the figures of each run to")
	f.StringVar(&o.svg, "svg", "", "`file` to write the plot of cost against size to")
	f.StringVar(&o.queriesSVG, "queries_svg", "", "`file` to write the plot of the section queries to")
}

// complete sets what was not said.
func (o *options) complete() {
	limit, list := 400*time.Millisecond, sizes{256, 16384}
	if o.full {
		limit, list = 600*time.Millisecond, sizes{256, 1024, 16384}
	}
	if o.full && len(o.only)+len(o.databases)+len(o.peers) == 0 { // no part of it may replace the documentation
		for file, name := range map[*string]string{&o.out: "docs/reference/benchmarks.md", &o.csv: "docs/reference/benchmarks.csv", &o.svg: "docs/reference/benchmarks.svg", &o.queriesSVG: "docs/reference/queries.svg"} {
			if *file == "" {
				*file = name
			}
		}
	}
	if o.limit == 0 {
		o.limit = limit
	}
	if o.sizes == nil {
		o.sizes = list
	}
}

func (o *options) validate() error {
	if o.commitDelay < 0 || o.commitDelay > 100_000 || o.commitDelay > 0 && o.databases.String() != "postgres" {
		return errors.New("-commit_delay is 0 to 100000 and needs -db postgres, the only database that has it")
	}
	if o.runs < 1 || o.n < 1 || o.limit <= 0 {
		return errors.New("-runs, -n and -limit must be positive")
	}
	return errors.Join(o.only.Check("-only", sectionNames()), o.databases.Check("-db", allDatabases), o.peers.Check("-peers", peerNames()))
}
