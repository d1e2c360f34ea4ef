// Results prints what go test -json reports on its standard input as tables. Tests such as TestLibraries/nats.c/FILE/publish
// become one table, with a row for nats.c and a column for FILE, or the other way round if that is narrower. Other tests have a
// line each, with what they logged. It exits with status 1 unless every test has passed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	all, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "results:", err)
		os.Exit(1)
	}
	all.print(os.Stdout)
	if len(all.failures) > 0 {
		fmt.Printf("\nFAILED\n%s", strings.Join(all.failures, ""))
		os.Exit(1)
	}
}

// results are the tests of a run, in the order of their beginnings.
type results struct {
	tests    []*result
	failures []string // what failed tests and packages wrote
}

type result struct {
	name   string
	output []string
	passed bool
	parent bool // it has subtests
}

func read(from io.Reader) (*results, error) {
	all, byName := &results{}, map[string]*result{}
	for in := bufio.NewReader(from); ; {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return all, nil
		}
		var event struct{ Action, Package, Test, Output string }
		if err != nil || json.Unmarshal(line, &event) != nil {
			return nil, fmt.Errorf("not a line of go test -json: %q: %w", line, err)
		}
		key := event.Package + " " + event.Test
		r := byName[key]
		if r == nil {
			r = &result{name: event.Test}
			byName[key] = r
			if event.Test != "" {
				all.tests = append(all.tests, r)
			}
			for parent := key; strings.Contains(parent, "/"); {
				parent = parent[:strings.LastIndex(parent, "/")]
				if p := byName[parent]; p != nil {
					p.parent = true
				}
			}
		}
		switch event.Action {
		case "output", "build-output":
			r.output = append(r.output, event.Output)
		case "pass":
			r.passed = true
		case "fail", "build-fail", "skip":
			if event.Test != "" || event.Action != "skip" { // a package without tests is skipped, too
				all.failures = append(all.failures, r.output...)
			}
		}
	}
}

// logged finds what a test logged, without file and line. A long line comes in several outputs.
var logged = regexp.MustCompile(`(?m)^\s+\w+\.go:\d+: (.*)$`)

func (all *results) print(to io.Writer) {
	var tables []*table
	list := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, r := range all.tests {
		path := strings.Split(strings.ReplaceAll(r.name, "_", " "), "/")
		switch {
		case r.parent:
		case len(path) > 2:
			i := slices.IndexFunc(tables, func(t *table) bool { return t.test == path[0] })
			if i < 0 {
				i = len(tables)
				tables = append(tables, &table{test: path[0], ran: map[[2]string]int{}, passed: map[[2]string]int{}})
			}
			tables[i].add(path[1], path[2], r.passed)
		default:
			fmt.Fprintf(list, "%s\t%s", r.outcome(), strings.Join(path, ": "))
			for _, m := range logged.FindAllStringSubmatch(strings.Join(r.output, ""), -1) {
				fmt.Fprintf(list, "\n\t  %s", m[1])
			}
			fmt.Fprintln(list)
		}
	}
	for _, t := range tables {
		t.print(to)
	}
	_ = list.Flush()
}

func (r *result) outcome() string {
	if r.passed {
		return "pass"
	}
	return "FAIL"
}
