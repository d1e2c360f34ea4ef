//go:build linux

// Package install tests what users install: the deb and rpm packages, the systemd unit and the container image.
package install

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// directory has what the tests install.
var directory string

func TestMain(m *testing.M) {
	var err error
	if directory, err = os.MkdirTemp("", "install"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := databases.Run(m)
	if err := os.RemoveAll(directory); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// require skips the test, or fails it in CI, unless it runs as root with the programs.
func require(t *testing.T, programs ...string) {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") != "" {
		missing = t.Fatalf
	}
	if os.Getuid() != 0 {
		missing("only root can install packages and make containers")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing("%v: run test/install/install", err)
		}
	}
}

// output runs a command and returns its output.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// publish stores a message.
func publish(t *testing.T, url, text string) {
	t.Helper()
	sc, err := stan.Connect("test-cluster", "publisher", stan.NatsURL(url))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sc.Close() }()
	if err := sc.Publish("greetings", []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// first returns the first message of the channel.
func first(t *testing.T, url string) string {
	t.Helper()
	sc, err := stan.Connect("test-cluster", "subscriber", stan.NatsURL(url))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sc.Close() }()
	got := make(chan string, 1)
	if _, err := sc.Subscribe("greetings", func(m *stan.Msg) { got <- string(m.Data) }, stan.StartAtSequence(1), stan.MaxInflight(1)); err != nil {
		t.Fatal(err)
	}
	return <-got
}
