package personal_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// BenchmarkAppend: what it costs to encrypt two fields of each event, beside the same events on a channel without encryption. Each event
// is about one of 1,000 people, and 100 are appended at a time, or 1. Decrypting is measured by reading.
func BenchmarkAppend(b *testing.B) {
	for driver, source := range map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL} {
		h := start(b, driver, source(b))
		writer := h.as(b, "writer")
		n := atomic.Int64{}
		for _, on := range []string{"open.customers", channel} {
			for _, batch := range []int{1, 100} {
				b.Run(fmt.Sprintf("%s/%s/batch=%d", driver, on, batch), func(b *testing.B) {
					b.SetParallelism(16)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							var events []*eventstorev1.Event
							for range batch {
								i := n.Add(1)
								e := event(fmt.Sprint(i), fmt.Sprintf("c-%d", i%1000), "Annabella")
								e.AggregateId = fmt.Sprint("a-", i)
								events = append(events, e)
							}
							if _, err := writer.Append(b.Context(), &eventstorev1.AppendRequest{Channel: on, Events: events}); err != nil {
								b.Error(err)
								return
							}
						}
					})
					b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
				})
			}
		}
		for _, who := range []string{"reader", "clerk"} {
			for _, on := range []string{"open.customers", channel} {
				b.Run(fmt.Sprintf("%s/read/%s/%s", driver, on, who), func(b *testing.B) {
					events := 0
					for b.Loop() {
						stream, err := h.as(b, who).Read(b.Context(), &eventstorev1.ReadRequest{Channel: on, Limit: 20_000})
						if err != nil {
							b.Fatal(err)
						}
						for stream.Receive() {
							events += len(stream.Msg().GetEvents())
						}
						if err := stream.Err(); err != nil {
							b.Fatal(err)
						}
						_ = stream.Close()
					}
					b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
				})
			}
		}
	}
}
