package test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Readers that occupy the database keep the lease from no renewal: the standby stands by, and publishes go on afterwards.
func TestReadersDoNotTakeTheLease(t *testing.T) {
	t.Parallel()
	const (
		readers  = 400
		occupied = 8 * time.Second // the lease expires after 3 s without a renewal
	)
	for _, driver := range []string{"postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := alone(t, driver)
			active, url := measuredAPI(t, driver, source)
			c := dialAPI(t, url)
			sc := active.connect("client")
			publish(t, sc, orders, event(t, "A", "T"))
			standby := launch(t, driver, source)
			standby.WaitLog(t, "Starting in standby mode")

			unlock := lock(t, driver, source) // each read waits until it is gone
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var reading sync.WaitGroup
			for i := range readers {
				reading.Go(func() {
					stream, err := c.ReadAggregate(ctx, &eventstorev1.ReadAggregateRequest{Channel: orders, AggregateType: "order", AggregateId: fmt.Sprint(i)})
					if err != nil {
						return // what becomes of the readers is not what is tested
					}
					for stream.Receive() {
						continue
					}
					_ = stream.Close()
				})
			}
			before := query(t, driver, source, "SELECT tick FROM StoreLock")[0]
			time.Sleep(occupied) // what is counted is what happens meanwhile
			renewals := figure(t, query(t, driver, source, "SELECT tick FROM StoreLock")[0]) - figure(t, before)
			t.Logf("%s: %d renewals in %v beside %d readers", driver, renewals, occupied, readers)
			if renewals < 3 {
				t.Errorf("the lease was renewed %d times in %v", renewals, occupied)
			}
			if standby.Log.Contains("Server is active") || active.Log.Contains("stepping down") {
				t.Fatal("the standby took the lease")
			}
			unlock()
			cancel()
			reading.Wait()
			publish(t, sc, orders, event(t, "A", "T"))
			contiguous(t, driver, source, orders, 2)
		})
	}
}
