package main

import (
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// routesKey is the key of a block, or a list of blocks, each of which is a route. The settings below, as keys, are those of
// one block.
const routesKey = "routes"

var routes = []string{routesKey}

// routeSettings send events on to other channels and to streams. They are keys of a block only.
var routeSettings = []setting{
	routeSetting("from", list, "Event channels whose events are routed, patterns (default all)",
		func(r *config.Route, v string) error { r.From = splitList(v); return nil }),
	routeSetting("types", list, "Types of events that are routed, patterns such as OrderPaid, Order* or orders.> (default all)",
		func(r *config.Route, v string) error { r.Types = splitList(v); return nil }),
	routeSetting("channel", text, "Channel that gets a copy of each event, in the event's own transaction",
		func(r *config.Route, v string) error { r.Channel = v; return nil }),
	routeSetting("payload", text, "What is sent: envelope, the whole message (default), or data, event_data alone",
		func(r *config.Route, v string) error {
			if v != "envelope" && v != "data" {
				return fmt.Errorf("%q is neither envelope nor data", v)
			}
			r.DataOnly = v == "data"
			return nil
		}),
	routeSetting("stream", text, "JetStream stream where each event is published",
		func(r *config.Route, v string) error { r.Stream = v; return nil }),
	routeSetting("subject", text, "Its subject there, such as ORDERS.{event_type}; also {aggregate_type}, {aggregate_id}, {channel}",
		func(r *config.Route, v string) error { r.Subject = v; return nil }),
	routeSetting("headers", text, "Names of the headers there: nats (default) or cloudevents",
		func(r *config.Route, v string) (err error) { r.Headers, err = relay.ParseHeaders(v); return err }),
}

func routeSetting(key string, k kind, usage string, set func(*config.Route, string) error) setting {
	return setting{
		keys: under(routes, key), kind: k, usage: usage, state: added,
		set: func(o *options, v, _ string) error { return set(o.route, v) },
	}
}

// applyRoutes sets the options of a route, or of a list of them.
func (o *options) applyRoutes(b blockOf, name string, tk any) error {
	blocks, several := value(tk).([]any)
	if !several {
		blocks = []any{tk}
	}
	b.prefix, b.strict = routesKey+".", true
	o.Routes = make([]config.Route, len(blocks))
	defer func() { o.route = nil }()
	for i, tk := range blocks {
		content, ok := value(tk).(map[string]any)
		if !ok {
			return &placedError{place(b.file, tk), wrongType(name, "map", tk)}
		}
		o.route = &o.Routes[i]
		o.route.At = place(b.file, tk)
		if err := o.applyBlock(b, content); err != nil {
			return err
		}
	}
	return nil
}
