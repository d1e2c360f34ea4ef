package clients

import (
	"strings"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// The external NATS server restarts under load. The streaming server and its clients reconnect, no acknowledged message
// is lost, and the durable continues.
func TestNATSRestart(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		ns := startNATS(t, -1)
		s := harness.Start(t, driver, source, "-ns", ns.ClientURL())
		reader := connect(t, ns.ClientURL(), "reader")
		_, in := subscribe(t, reader, "", true, stan.DurableName("d"), stan.MaxInflight(100))
		var mu sync.Mutex // guards acked
		acked := 0
		stop := make(chan struct{})
		var publishers sync.WaitGroup
		for _, id := range []string{"one", "two", "three"} {
			sc := connect(t, ns.ClientURL(), id)
			publishers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					done := make(chan error, 1)
					if _, err := sc.PublishAsync(channel, []byte("x"), func(_ string, err error) { done <- err }); err != nil {
						time.Sleep(10 * time.Millisecond) // not connected: do not spin
						continue
					}
					select {
					case err := <-done:
						if err == nil {
							mu.Lock()
							acked++
							mu.Unlock()
						}
					case <-time.After(time.Second): // lost with the connection; the next attempt is another message
					}
				}
			})
		}
		more := func(n int) {
			t.Helper()
			mu.Lock()
			want := acked + n
			mu.Unlock()
			eventually(t, func() error {
				mu.Lock()
				defer mu.Unlock()
				if acked < want {
					return differs("acknowledged", acked, want)
				}
				return nil
			})
		}
		for range 3 {
			more(50)
			port := ns.Addr().String()
			ns.Shutdown()
			ns.WaitForShutdown()
			ns = startNATS(t, portOf(t, port))
			more(50)
		}
		close(stop)
		publishers.Wait()
		stored := count(t, driver, source, "Messages")
		if stored < acked {
			t.Errorf("%d messages were acknowledged, %d are stored", acked, stored)
		}
		in.until(t, stored)
		s.Stop()
		harness.Verify(t, driver, source)
		if !strings.Contains(s.Log.String(), "Reconnected to NATS") {
			t.Error("the server did not notice the restart of NATS")
		}
	})
}

func startNATS(t *testing.T, port int) *natsd.Server {
	t.Helper()
	ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(harness.Patience) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	return ns
}
