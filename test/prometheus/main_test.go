// Package prometheus tests what deploy/ has for Prometheus and Grafana: the rules by their unit tests, and the rules and the
// dashboard in a real Prometheus that scrapes real servers.
package prometheus

import (
	"os"
	"os/exec"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.MainPlain(m) }

const (
	rulesFile     = "../../deploy/prometheus/rules.yaml"
	rulesTestFile = "../../deploy/prometheus/rules_test.yaml"
	dashboardFile = "../../deploy/grafana/dashboard.json"
	page          = "../../docs/operate/monitoring.md"
)

// find returns the path of a program. Without it, the test is skipped, or fails if the environment variable CI is set.
func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("CI") == "":
		t.Skipf("%v: install it with test/prometheus/install", err)
	default:
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
