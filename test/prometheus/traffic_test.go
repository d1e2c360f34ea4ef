package prometheus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// traffic publishes to several channels and subscribes to them, for a picture worth looking at, until stop is called. Its
// clients use the first server while it lives.
func traffic(t *testing.T, urls string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	for i, channel := range []string{orders, "eventstore.payments", "eventstore.shipments"} {
		sc, err := stan.Connect("test-cluster", fmt.Sprint("traffic-", i), stan.NatsURL(urls), stan.NatsOptions(nats.DontRandomize()), stan.ConnectWait(harness.Patience), stan.PubAckWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sc.NatsConn().Close() })
		pause := time.Duration(i+1) * 300 * time.Microsecond
		if _, err := sc.QueueSubscribe(channel, "workers", func(*stan.Msg) { time.Sleep(pause) }, stan.DurableName("all"), stan.MaxInflight(500)); err != nil {
			t.Fatal(err)
		}
		for j := range 2 {
			ended.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					payload, err := proto.Marshal(&eventstorev1.Event{EventType: "Happened", AggregateId: fmt.Sprint(i, j), EventData: fmt.Appendf(nil, `{"n":%d}`, n)})
					if err != nil {
						t.Error(err)
						return
					}
					_ = sc.Publish(channel, payload) // an error while no server leads belongs to the picture
					time.Sleep(rand.N(40 * time.Millisecond))
				}
			})
		}
	}
	return func() {
		cancel()
		ended.Wait()
	}
}
