package stores_test

import (
	"fmt"
	"path/filepath"
	"testing"

	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// each runs a benchmark on each database. The servers are private and do not wait for their disks: the benchmark
// measures the work.
func each(b *testing.B, run func(b *testing.B, s *stores.Store, c *stores.Channel)) {
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		b.Run(driver, func(b *testing.B) {
			o := stores.Options{Driver: driver}
			switch driver {
			case "sqlite":
				o.Source = filepath.Join(b.TempDir(), "eventstore.db")
			case "postgres":
				o.Source = databases.Postgres(b)
			case "mysql":
				o.Source = databases.MySQL(b)
			}
			s, err := stores.Open(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(s.Close)
			if _, _, err := s.TryLease(b.Context(), "server", stores.Lease{}); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Recover(b.Context()); err != nil {
				b.Fatal(err)
			}
			c, err := s.CreateChannel(b.Context(), "eventstore.orders")
			if err != nil {
				b.Fatal(err)
			}
			run(b, s, c)
		})
	}
}

// orderEvent is an event of 512 bytes, of one of 5,000 aggregates.
func orderEvent(b testing.TB, c *stores.Channel, i int) stores.Append {
	b.Helper()
	data := fmt.Appendf(nil, `{"order":%d,"note":"%0380d"}`, i, i)
	payload, err := googleproto.Marshal(&eventstorev1.Event{
		EventId: fmt.Sprintf("%032d", i), EventType: "OrderCreated", AggregateType: "Order",
		AggregateId: fmt.Sprintf("order-%d", i%5000), EventData: data,
	})
	if err != nil {
		b.Fatal(err)
	}
	e, err := proto.Extract(payload)
	if err != nil {
		b.Fatal(err)
	}
	return stores.Append{Channel: c, Payload: payload, Event: &e}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 500} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			each(b, func(b *testing.B, s *stores.Store, c *stores.Channel) {
				b.ReportAllocs()
				next := 0
				for b.Loop() {
					b.StopTimer()
					batch := make([]stores.Append, size)
					for i := range batch {
						batch[i] = orderEvent(b, c, next)
						next++
					}
					b.StartTimer()
					if _, err := s.Append(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "events/s")
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	const total, size = 20_000, 1000
	each(b, func(b *testing.B, s *stores.Store, c *stores.Channel) {
		for i := 0; i < total; i += size {
			batch := make([]stores.Append, size)
			for j := range batch {
				batch[j] = orderEvent(b, c, i+j)
			}
			if _, err := s.Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		from := uint64(1)
		for b.Loop() {
			messages, err := s.Read(b.Context(), c, from, total, size, 1<<30)
			if err != nil || len(messages) != size {
				b.Fatal(len(messages), err)
			}
			if from += size; from > total {
				from = 1
			}
		}
		b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}
