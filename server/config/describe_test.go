package config

import (
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// The log says what event channels carry, and that a list of them has replaced the default.
func TestDescribeEventChannels(t *testing.T) {
	t.Parallel()
	const replaced = "Event channels: not eventstore.>, the default, whose messages are ordinary messages here"
	orders := eventlog.EventBlock{Channels: []string{"orders.>", "returns"}, Payload: proto.MappingConfig{Format: "json"}}
	mapped := eventlog.EventBlock{Channels: []string{"eventstore.new"}, Payload: proto.MappingConfig{Message: "acme.E"}}
	for _, tt := range []struct {
		blocks []eventlog.EventBlock
		want   []string
	}{
		{DefaultOptions().Events, []string{"Event channels: eventstore.>: eventstore.v1.Event"}},
		{[]eventlog.EventBlock{orders}, []string{"Event channels: orders.>, returns: json", replaced}},
		{[]eventlog.EventBlock{orders, mapped}, []string{"Event channels: orders.>, returns: json", "Event channels: eventstore.new: acme.E"}},
		{nil, []string{replaced}},
	} {
		o := DefaultOptions()
		o.Events = tt.blocks
		if got := o.Describe(); !slices.Equal(got, tt.want) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
