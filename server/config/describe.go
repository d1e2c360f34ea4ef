package config

import (
	"slices"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// Describe returns log lines about the event channels, the routes and the consumers.
func (o *Options) Describe() []string {
	var lines []string
	for i := range o.Events {
		lines = append(lines, o.Events[i].Describe())
	}
	if !slices.ContainsFunc(o.Events, overlapsDefault) {
		lines = append(lines, "Event channels: not "+DefaultEventChannels+", the default, whose messages are ordinary messages here")
	}
	for i := range o.Routes {
		lines = append(lines, o.Routes[i].Describe())
	}
	for i := range o.Consumers {
		lines = append(lines, describeRule(&o.Consumers[i]))
	}
	return lines
}

func overlapsDefault(b eventlog.EventBlock) bool {
	return slices.ContainsFunc(b.Channels, func(p string) bool { return eventlog.Overlap(p, DefaultEventChannels) })
}
