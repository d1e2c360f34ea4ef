package test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Many readers that wait for the database do not block renewals of the lease. The standby does not take over, and
// publishing continues.
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

			unlock := lock(t, driver, source) // every read waits for it
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var reading sync.WaitGroup
			for i := range readers {
				reading.Go(func() {
					stream, err := c.ReadAggregate(ctx, &eventstorev1.ReadAggregateRequest{Channel: orders, AggregateType: "order", AggregateId: fmt.Sprint(i)})
					if err != nil {
						return // the outcome of the reads does not matter
					}
					for stream.Receive() {
						continue
					}
					_ = stream.Close()
				})
			}
			before := query(t, driver, source, "SELECT tick FROM StoreLock")[0]
			time.Sleep(occupied) // the observation itself
			renewals := figure(t, query(t, driver, source, "SELECT tick FROM StoreLock")[0]) - figure(t, before)
			t.Logf("%s: %d renewals in %v with %d readers", driver, renewals, occupied, readers)
			if *long && renewals < 3 {
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
