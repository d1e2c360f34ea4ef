package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// relayJSON is what relays prints of a stream of JetStream.
type relayJSON struct {
	Stream      string  `json:"stream"`
	Failing     bool    `json:"failing"`
	Published   uint64  `json:"published"`
	Failures    uint64  `json:"failures"`
	LagMessages uint64  `json:"lag_messages"`
	LagSeconds  float64 `json:"lag_seconds"`
}

func relaysCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "relays",
		Short: "Show how far the streams of JetStream are behind, by the monitoring port",
		Args:  cobra.NoArgs,
		RunE: t.online(func(ctx context.Context, r *remote, _ []string) error {
			m, err := t.monitored(ctx, r)
			if err != nil {
				return err
			}
			all := make(map[string]*relayJSON)
			of := func(stream string) *relayJSON {
				if all[stream] == nil {
					all[stream] = &relayJSON{Stream: stream}
				}
				return all[stream]
			}
			for _, s := range m["relay_failing"].GetMetric() {
				of(label(s, "stream")).Failing = valueOf(s) > 0
			}
			for _, s := range m["relay_published_total"].GetMetric() {
				of(label(s, "stream")).Published = uint64(valueOf(s))
			}
			for _, s := range m["relay_failures_total"].GetMetric() {
				of(label(s, "stream")).Failures = uint64(valueOf(s))
			}
			for _, name := range []string{"relay_lag_messages", "relay_other_lag_messages"} {
				for _, s := range m[name].GetMetric() {
					of(label(s, "stream")).LagMessages += uint64(valueOf(s))
				}
			}
			for _, name := range []string{"relay_lag_seconds", "relay_other_lag_seconds"} {
				for _, s := range m[name].GetMetric() {
					relay := of(label(s, "stream"))
					relay.LagSeconds = max(relay.LagSeconds, valueOf(s))
				}
			}
			out := t.newList("no route of the server that leads goes to a stream", "STREAM", "STATE", "LAG", "AGE", "PUBLISHED", "FAILURES")
			for _, stream := range slices.Sorted(maps.Keys(all)) {
				relay := all[stream]
				state := "up to date"
				switch {
				case relay.Failing:
					state = "failing: the log of the server says why"
				case relay.LagMessages > 0:
					state = "behind"
				}
				if err := out.add(relay, stream, state, number(relay.LagMessages), ageOf(relay.LagSeconds), number(relay.Published), number(relay.Failures)); err != nil {
					return err
				}
			}
			return out.end()
		}),
	}
}

// monitored returns the metrics of the server that leads, which --monitor must name.
func (t *tool) monitored(ctx context.Context, r *remote) (metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	m, err := t.flags.metrics(ctx, r.servers[0])
	if errors.Is(err, errNoMonitor) {
		return nil, usage("this needs the monitoring port of the server: give its URL with --monitor, such as http://127.0.0.1:8222")
	}
	return m, err
}

// routeJSON is what routes prints.
type routeJSON struct {
	From    []string `json:"from,omitempty"`
	Types   []string `json:"types,omitempty"`
	Channel string   `json:"channel,omitempty"`
	Stream  string   `json:"stream,omitempty"`
	Subject string   `json:"subject,omitempty"`
	Payload string   `json:"payload"`
	At      string   `json:"at"`
}

func routesCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "routes --server-config FILE",
		Short: "List the routes of a configuration file, or what routes have done",
		Long: `With --server-config, lists the routes of that file. Without, asks the monitoring port (--monitor) how many copies the routes to channels
have stored; relays shows the streams.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if t.flags.offline.config != "" {
				return t.listRoutes()
			}
			return t.online(func(ctx context.Context, r *remote, _ []string) error {
				m, err := t.monitored(ctx, r)
				if err != nil {
					return err
				}
				copies := uint64(m.sum("routed_messages_total"))
				if t.json() {
					return t.printJSON(map[string]uint64{"routed_messages": copies})
				}
				return t.print("copies stored on channels since the server started: %s", number(copies))
			})(cmd, nil)
		},
	}
}

func (t *tool) listRoutes() error {
	o, err := t.flags.offline.options()
	if err != nil {
		return err
	}
	out := t.newList("the file has no routes", "FROM", "TYPES", "TO", "PAYLOAD", "CONFIGURED AT")
	for _, route := range o.Routes {
		r := routeJSONOf(route)
		to := "channel " + r.Channel
		if r.Stream != "" {
			to = fmt.Sprintf("stream %s, subject %s", r.Stream, r.Subject)
		}
		from, types := "all", "all"
		if len(r.From) > 0 {
			from = fmt.Sprint(r.From)
		}
		if len(r.Types) > 0 {
			types = fmt.Sprint(r.Types)
		}
		if err := out.add(r, from, types, to, r.Payload, r.At); err != nil {
			return err
		}
	}
	return out.end()
}

func routeJSONOf(r config.Route) routeJSON {
	payload := "envelope"
	if r.DataOnly {
		payload = "data"
	}
	return routeJSON{From: r.From, Types: r.Types, Channel: r.Channel, Stream: r.Stream, Subject: r.Subject, Payload: payload, At: r.At}
}
