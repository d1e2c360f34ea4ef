package clients

import (
	"slices"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/network"
)

// A client that vanishes is closed once its heartbeats fail. Its durable goes offline, its other subscriptions end, and
// another member receives its queue messages. The connection is either half open or closed, as when a process is killed.
func TestVanish(t *testing.T) {
	t.Parallel()
	for name, vanish := range map[string]func(*network.Proxy){
		"half open": (*network.Proxy).Silence,
		"killed":    (*network.Proxy).Refuse,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databases.Each(t, func(t *testing.T, driver, source string) {
				s := harness.Start(t, driver, source, "-m", "-1", "-hbi", "500ms", "-hbt", "1s", "-hbf", "1")
				p, through := network.Start(t, s.URL())
				gone := connect(t, through, "gone")
				here := connect(t, s.URL(), "here")
				_, plain := subscribe(t, gone, "", false)
				_, durable := subscribe(t, gone, "", false, stan.DurableName("d"), stan.MaxInflight(1000))
				_, queued := subscribe(t, gone, "q", false, stan.MaxInflight(1000))
				_, others := subscribe(t, here, "q", true)
				_, all := subscribe(t, here, "", true)
				publish(t, here, 100, []byte("before"))
				plain.until(t, 100)
				durable.until(t, 100)
				<-queued // received messages that it will never acknowledge
				vanish(p)
				publish(t, here, 100, []byte("after"))
				all.until(t, 200)
				others.until(t, 200)
				s.WaitLog(t, "[Client:gone] Timed out on heartbeats")
				eventually(t, func() error {
					subs := subscriptions(t, s)
					slices.Sort(subs)
					return differs("subscriptions", subs, []string{"gone:d:offline", "here:", "here:q"})
				})
				// The client reconnects and continues.
				_, durable = subscribe(t, connect(t, s.URL(), "gone"), "", true, stan.DurableName("d"), stan.MaxInflight(1000))
				durable.until(t, 200)
				s.Stop()
				harness.Verify(t, driver, source)
			})
		})
	}
}
