package stango

import (
	"bytes"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/process"
)

const stanVersion = stan.Version

// shards is the number of parallel parts of the suite. Each of its tests starts a server.
const shards = 3

// suiteTimeout bounds one part, which takes seconds.
const suiteTimeout = 3 * time.Minute

// TestStanGo runs every test of the suite. Without private networks, NATS' default port must be free.
func TestStanGo(t *testing.T) {
	list, err := output("", suite, "-test.list", ".")
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, name := range strings.Fields(list) {
		if strings.HasPrefix(name, "Test") {
			tests = append(tests, name)
		}
	}
	if len(tests) < 60 {
		t.Fatalf("the suite has %d tests, v0.10.4 has 60", len(tests))
	}
	if out, err := privateNetwork(suite, "-test.list", "none").CombinedOutput(); err != nil {
		t.Logf("no private network, running on the system's: %v\n%s", err, out)
		cmd := exec.Command(suite, args(tests)...)
		cmd.Env = environment()
		run(t, cmd, tests)
		return
	}
	parts := make([][]string, shards)
	for i, name := range tests {
		parts[i%shards] = append(parts[i%shards], name)
	}
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() { run(t, privateNetwork(suite, args(part)...), part) })
	}
	running.Wait()
	t.Logf("stan.go %s: %d tests of its own", stanVersion, len(tests))
}

func args(tests []string) []string {
	return []string{"-test.v", "-test.timeout", suiteTimeout.String(), "-test.run", "^(" + strings.Join(tests, "|") + ")$"}
}

var passed = regexp.MustCompile(`(?m)^--- PASS: (\S+)`)

// run runs a part of the suite. Every test must pass; none may be skipped.
func run(t *testing.T, cmd *exec.Cmd, tests []string) {
	var out bytes.Buffer // test results mixed with server logs
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		t.Error(err)
		return
	}
	err = p.Wait()
	var got []string
	for _, m := range passed.FindAllStringSubmatch(out.String(), -1) {
		got = append(got, m[1])
	}
	var missing []string
	for _, name := range tests {
		if !slices.Contains(got, name) {
			missing = append(missing, name)
		}
	}
	if err != nil || len(missing) > 0 {
		t.Errorf("the suite ended with %v; these did not pass: %v\n%s", err, missing, out.String())
	}
}
