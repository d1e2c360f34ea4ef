package relay

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

var (
	kills = flag.Int("kills", 6, "how often the server and the nats-server are killed, in turns")
	seed  = flag.Uint64("seed", 1, "of the moments of the kills")
)

// Stream and table are equal event for event, whenever the server or the nats-server is killed.
func TestNothingMissingNothingTwice(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		nats := harness.NATS(t)
		s := harness.Start(t, driver, source, "-ns", nats.URL(), "-hbi", "1s", "-hbt", "1s", "-hbf", "1",
			"-sc", configuration(t, `streaming { routes { stream: ORDERS, subject: "ORDERS.{event_type}" } }`))
		js, _ := streams(t, nats)
		stop := make(chan struct{})
		var publishers sync.WaitGroup
		for p, channel := range []string{orders, returns} {
			publishers.Go(func() { publishUntil(t, stop, nats, p, channel) })
		}
		random := rand.New(rand.NewPCG(*seed, 0))
		last := uint64(0)
		for k := range *kills {
			last += 20 + random.Uint64N(200)
			waitStream(t, js, "ORDERS", last)
			if k%2 == 0 {
				s.Kill()
				s.Restart()
			} else {
				nats.Kill()
				nats.Launch()
				nats.WaitLog(t, "Server is ready")
			}
			stream, err := js.Stream(patient(t), "ORDERS")
			if err != nil {
				t.Fatal(err)
			}
			last = stream.CachedInfo().State.LastSeq
		}
		waitStream(t, js, "ORDERS", last+20)
		close(stop)
		publishers.Wait()
		n := len(table(t, driver, source))
		waitStream(t, js, "ORDERS", uint64(n))
		agree(t, driver, source, content(t, js, "ORDERS"))
		t.Logf("%d events, %d kills", n, *kills)
	})
}

// publishUntil publishes events until stop. It reconnects whenever the connection is lost.
func publishUntil(t *testing.T, stop <-chan struct{}, at *harness.Server, publisher int, channel string) {
	for n := 0; ; n++ {
		lost := make(chan struct{})
		sc, err := stan.Connect("test-cluster", fmt.Sprintf("publisher-%d-%d", publisher, n), stan.NatsURL(at.URL()),
			stan.ConnectWait(time.Second), stan.PubAckWait(2*time.Second), stan.MaxPubAcksInflight(64),
			stan.SetConnectionLostHandler(func(stan.Conn, error) { close(lost) }), stan.Pings(1, 2))
		if err == nil {
			for i, failed := 0, make(chan struct{}, 1); err == nil; i++ {
				select {
				case <-stop:
					_ = sc.Close()
					return
				case <-lost:
					err = stan.ErrConnectionClosed
				case <-failed:
					err = stan.ErrTimeout
				default:
					typ := []string{"OrderCreated", "OrderPaid"}[i%2]
					_, err = sc.PublishAsync(channel, order(t, fmt.Sprintf("order-%d-%d", publisher, i%7), typ, i), func(_ string, err error) {
						if err != nil {
							select {
							case failed <- struct{}{}:
							default:
							}
						}
					})
				}
			}
			sc.NatsConn().Close()
		}
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond): // the server is down
		}
	}
}
