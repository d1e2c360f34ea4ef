package prometheus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// observer is a Prometheus that scrapes servers and has our rules.
type observer struct {
	t   *testing.T
	url string
}

// observe starts a Prometheus that scrapes the monitoring ports of the machine four times a second.
func observe(t *testing.T, ports ...int) *observer {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, port := range ports {
		targets = append(targets, fmt.Sprintf("127.0.0.1:%d", port))
	}
	file := filepath.Join(t.TempDir(), "prometheus.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
global: { scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms }
rule_files: [%q]
scrape_configs:
  - job_name: events
    static_configs: [{ targets: [%s] }]
`, rules, strings.Join(targets, ", ")), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s := harness.New(t, find(t, "prometheus"))
	s.Args = []string{"--config.file", file, "--storage.tsdb.path", t.TempDir(), "--web.listen-address", address}
	s.Launch()
	s.WaitLog(t, "Server is ready to receive web requests")
	return &observer{t: t, url: "http://" + address}
}

// sample is one series of an answer.
type sample struct {
	Metric map[string]string `json:"metric"`
}

// query returns the series that an expression has now.
func (o *observer) query(expr string) []sample {
	o.t.Helper()
	resp, err := http.Get(o.url + "/api/v1/query?" + url.Values{"query": {expr}}.Encode())
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []sample `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		o.t.Fatalf("%s: %v %s", expr, err, answer.Error)
	}
	return answer.Data.Result
}

// await waits until an expression has a value.
func (o *observer) await(expr string) {
	o.t.Helper()
	for deadline := time.Now().Add(harness.Patience); len(o.query(expr)) == 0; {
		if time.Now().After(deadline) {
			o.t.Fatalf("no data: %s", expr)
		}
		time.Sleep(50 * time.Millisecond) // polls another process
	}
}

// alert is a rule. Its query has a value as soon as there is a reason; the alert itself waits.
type alert struct{ Name, Query, LastError string }

// alerts returns the alerts that Prometheus has.
func (o *observer) alerts() (all []alert) {
	o.t.Helper()
	resp, err := http.Get(o.url + "/api/v1/rules?type=alert")
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Groups []struct{ Rules []alert }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		o.t.Fatal(err)
	}
	for _, g := range answer.Data.Groups {
		for _, a := range g.Rules {
			if a.LastError != "" {
				o.t.Errorf("%s: %s", a.Name, a.LastError)
			}
			all = append(all, a)
		}
	}
	if want := len(alerts(o.t)); len(all) != want {
		o.t.Fatalf("Prometheus has %d alerts, want %d", len(all), want)
	}
	return all
}
