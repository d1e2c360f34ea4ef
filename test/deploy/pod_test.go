package deploy

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// objects decodes the objects of a file in testdata.
func objects[T any](t *testing.T, name string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Objects []T }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Objects
}

// container is a process with the files that it sees, each at its path there. A path without a text is an empty folder.
type container struct {
	args  []string
	env   map[string]string
	files map[string]string
}

// addresses are the ports that containers listen on, and the hosts that they name, for servers of one machine.
type addresses struct{ client, route, monitor, api int }

func newAddresses(t *testing.T) (a addresses) {
	t.Helper()
	for _, port := range []*int{&a.client, &a.route, &a.monitor, &a.api} {
		var err error
		if *port, err = databases.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

var routes = regexp.MustCompile(`nats://[^:"]+:6222`)

// server makes the files of a container below a folder of the test, and returns its process, not yet started. Paths, ports and hosts
// are all that differs.
func (c container) server(t *testing.T, own addresses, all []addresses) *harness.Server {
	t.Helper()
	root := t.TempDir()
	var moved []string
	for path := range c.files {
		moved = append(moved, path, filepath.Join(root, path))
	}
	here := strings.NewReplacer(moved...)
	for path, text := range c.files {
		file := filepath.Join(root, path)
		if text == "" {
			if err := os.MkdirAll(file, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		i := 0
		text = routes.ReplaceAllStringFunc(text, func(string) string {
			i++
			return fmt.Sprint("nats://127.0.0.1:", all[i-1].route)
		})
		if i > 0 && i != len(all) {
			t.Errorf("%s has %d routes, for %d servers", path, i, len(all))
		}
		text = strings.NewReplacer("0.0.0.0:4222", fmt.Sprint("127.0.0.1:", own.client), "0.0.0.0:6222", fmt.Sprint("127.0.0.1:", own.route),
			"0.0.0.0:8222", fmt.Sprint("127.0.0.1:", own.monitor), "port: 4280", fmt.Sprint("port: ", own.api), `"0.0.0.0"`, `"127.0.0.1"`).Replace(text)
		if err := os.WriteFile(file, []byte(here.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := harness.New(t, harness.Binary())
	s.Port, s.Args = own.client, nil
	for _, arg := range c.args {
		s.Args = append(s.Args, here.Replace(arg))
	}
	for name, value := range c.env {
		s.Env = append(s.Env, name+"="+here.Replace(value))
	}
	return s
}

// serves starts the servers of containers, which one leads, and publishes, also after the leader was stopped.
func serves(t *testing.T, containers []container, cluster string, probe string, ca *authority.Authority, options ...nats.Option) {
	t.Helper()
	var all []addresses
	for range containers {
		all = append(all, newAddresses(t))
	}
	var servers []*harness.Server
	var urls []string
	for i, c := range containers {
		s := c.server(t, all[i], all)
		s.Launch()
		if i == 0 {
			s.Ready()
		} else {
			s.WaitLog(t, "Starting in standby mode")
		}
		servers, urls = append(servers, s), append(urls, s.URL())
	}
	for _, a := range all {
		ready(t, a, probe, ca)
	}
	nc, err := nats.Connect(strings.Join(urls, ","), append(options, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var sc stan.Conn
	until(t, func() (err error) { // the servers may not know each other yet
		sc, err = stan.Connect(cluster, "client", stan.NatsConn(nc), stan.PubAckWait(5*time.Second), stan.Pings(5, 100))
		return err
	})
	publish := func() { until(t, func() error { return sc.Publish("plain", []byte("x")) }) }
	publish()
	if len(servers) > 1 {
		servers[0].Stop()
		servers[1].Ready()
		publish()
	}
}

// until repeats what fails.
func until(t *testing.T, do func() error) {
	t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for err := do(); err != nil; err = do() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// ready asks as a probe of Kubernetes does: whoever answers.
func ready(t *testing.T, a addresses, path string, ca *authority.Authority) {
	t.Helper()
	scheme := "http"
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != nil {
		scheme, config.RootCAs = "https", ca.Pool()
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	until(t, func() error {
		response, err := client.Get(fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, a.monitor, path))
		if err != nil {
			return err
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: status %d", path, response.StatusCode)
		}
		return nil
	})
}
