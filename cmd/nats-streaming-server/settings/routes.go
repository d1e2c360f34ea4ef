package settings

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// routesKey is the key of a block, or a list of blocks, that declares routes. The keys of one block are the settings below.
const routesKey = "routes"

var routes = []string{routesKey}

// routeSettings forward events to other channels and to streams. They have keys but no flags.
var routeSettings = []setting{
	routeSetting("from", list, "Patterns of the event channels to forward",
		func(r *config.Route, v string) error { r.From = splitList(v); return nil }).or("all"),
	routeSetting("types", list, "Patterns of the event types to forward, such as OrderPaid, Order* or orders.>",
		func(r *config.Route, v string) error { r.Types = splitList(v); return nil }).or("all"),
	routeSetting("channel", text, "Channel that gets a copy of each event, in the event's own transaction; a name, or a template such as {event_type}",
		func(r *config.Route, v string) error { r.Channel = v; return nil }),
	routeSetting("payload", text, "What to forward: envelope, the whole message, or data, only event_data",
		func(r *config.Route, v string) error {
			r.DataOnly = v == "data"
			return nil
		}).or("envelope", "envelope", "data"),
	routeSetting("stream", text, "JetStream stream that gets a copy of each event",
		func(r *config.Route, v string) error { r.Stream = v; return nil }),
	routeSetting("subject", text, "Subject in the stream, such as ORDERS.{event_type}; also {aggregate_type}, {aggregate_id}, {channel}",
		func(r *config.Route, v string) error { r.Subject = v; return nil }),
	routeSetting("headers", text, "Header names in the stream: nats or cloudevents",
		func(r *config.Route, v string) (err error) { r.Headers, err = relay.ParseHeaders(v); return err }).or("nats", "nats", "cloudevents"),
}

func routeSetting(key string, k kind, usage string, set func(*config.Route, string) error) setting {
	return setting{
		keys: under(routes, key), kind: k, usage: usage, state: added,
		set: func(o *Options, v, _ string) error { return set(o.route, v) },
	}
}

// applyRoutes sets the options of one route, or of a list of routes.
func (o *Options) applyRoutes(b blockOf, name string, tk any) error {
	blocks, several := value(tk).([]any)
	if !several {
		blocks = []any{tk}
	}
	b.prefix = routesKey + "."
	o.Routes = make([]config.Route, len(blocks))
	defer func() { o.route = nil }()
	var errs []error
	for i, tk := range blocks {
		content, ok := value(tk).(map[string]any)
		if !ok {
			errs = append(errs, &placedError{place(b.file, tk), wrongType(name, block, tk)})
			continue
		}
		o.route, o.index = &o.Routes[i], i
		o.route.At = place(b.file, tk)
		errs = append(errs, o.applyBlock(b, content))
	}
	return errors.Join(errs...)
}
