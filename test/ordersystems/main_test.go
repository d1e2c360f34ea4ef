// Package ordersystems runs the calls of two published order systems on the configurations of docs/guides/order-systems.md, with
// stubs of gRPC's own generator and the official NATS clients.
package ordersystems

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

func TestMain(m *testing.M) { harness.MainPlain(m) }

const (
	services = 4  // order services
	each     = 60 // orders of each service
	kills    = 3
)

// start runs a server with a configuration of the page, on other ports, and returns the address of its API.
func start(t *testing.T, driver, source, name string, args ...string) (s *harness.Server, api string) {
	t.Helper()
	text := ""
	for _, b := range page.Open(t, "docs/guides/order-systems.md") {
		if b.Language == "conf" && strings.HasPrefix(b.Text(), "# "+name+"\n") {
			text = b.Text()
		}
	}
	if text == "" {
		t.Fatalf("the page has no %s", name)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-c", file, "-grpc_port", strconv.Itoa(port)}, args...)
	return harness.Start(t, driver, source, args...), net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// dial connects like the programs, but notices sooner that the server is back.
func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

// order is what the order services publish, as JSON.
type order struct {
	ID     string `json:"order_id"`
	Amount int    `json:"amount"`
}

// place lets the order services place their orders while the server is killed. create is called until it succeeds, each time
// with the same event. place returns the accepted orders.
func place(t *testing.T, s *harness.Server, create func(context.Context, order) error) (accepted []order) {
	t.Helper()
	ctx := patient(t)
	acks := make(chan order, services*each)
	var placing sync.WaitGroup
	for service := range services {
		placing.Go(func() {
			for i := range each {
				o := order{fmt.Sprintf("order-%d-%d", service, i), i}
				for err := create(ctx, o); err != nil; err = create(ctx, o) {
					if ctx.Err() != nil {
						t.Errorf("%s: %v", o.ID, err)
						return
					}
				}
				acks <- o
			}
		})
	}
	for n := range services * each {
		if n > 0 && n < (kills+1)*each/2 && n%(each/2) == 0 {
			s.Kill()
			s.Restart()
		}
		select {
		case o := <-acks:
			accepted = append(accepted, o)
		case <-ctx.Done():
			t.Fatalf("%d orders were accepted in time", n)
		}
	}
	placing.Wait()
	return accepted
}

// same compares two lists as sets with repetitions.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d, want %d\n%q\n%q", what, len(got), len(want), got, want)
	}
}

// seen collects what a program has received, each message once.
type seen struct {
	mu      sync.Mutex // guards all
	all     map[string]bool
	changed chan struct{} // one slot
}

func newSeen() *seen { return &seen{all: make(map[string]bool), changed: make(chan struct{}, 1)} }

func (s *seen) add(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[string(data)] = true
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// wait waits until the program has received n messages, and returns them.
func (s *seen) wait(t *testing.T, what string, n int) []string {
	t.Helper()
	ctx := patient(t)
	for {
		s.mu.Lock()
		var all []string
		for data := range s.all {
			all = append(all, data)
		}
		s.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			t.Fatalf("%s received %d messages, want %d", what, len(all), n)
		}
	}
}
