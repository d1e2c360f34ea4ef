package console

import (
	"cmp"
	"slices"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func consumerPath(c *eventstorev1.Consumer) string {
	return link("/console/consumer", "channel", c.GetChannel(), "client", c.GetClient(), "name", c.GetName())
}

// sortByLag sorts consumers, those that are farthest behind first.
func sortByLag(all []*eventstorev1.Consumer) {
	slices.SortStableFunc(all, func(a, b *eventstorev1.Consumer) int { return cmp.Compare(b.GetLagMessages(), a.GetLagMessages()) })
}
