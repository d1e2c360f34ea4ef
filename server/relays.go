package server

import (
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/server/tracing"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// newRelays returns a relay for each stream of routes.
func newRelays(o *config.Options, nc *nats.Conn, store *stores.Store, tracer *tracing.Tracer, log *slog.Logger) ([]*relay.Relay, error) {
	var relays []*relay.Relay
	byStream := make(map[string]*relay.Relay)
	for i := range o.Routes {
		r := &o.Routes[i]
		if r.Stream == "" {
			continue
		}
		to := byStream[r.Stream]
		if to == nil {
			var err error
			if to, err = relay.New(nc); err != nil {
				return nil, err
			}
			to.Cluster, to.Stream, to.Positions, to.Log = o.ClusterID, r.Stream, store, log
			if tracer != nil {
				to.Tracer = tracer
			}
			byStream[r.Stream] = to
			relays = append(relays, to)
		}
		template, err := relay.ParseTemplate(r.Subject)
		if err != nil {
			return nil, fmt.Errorf("route to stream %q: %w", r.Stream, err)
		}
		to.Routes = append(to.Routes, relay.Route{
			From: r.HasFrom, Types: r.Types, Subject: template, DataOnly: r.DataOnly, Headers: r.Headers,
		})
	}
	return relays, nil
}

// relayed has an event channel's events relayed, and refuses those that no relay could send. It is called before anybody else
// knows the channel.
func (t *term) relayed(ch *eventlog.Channel) {
	if ch.Events() == nil {
		return
	}
	for _, r := range t.relays {
		if !r.Add(relaySource{ch}) {
			continue
		}
		ch.Watch(r.Wake)
		ch.AddCheck(func(ev *proto.Event, payload []byte) error {
			if !r.Fits(ch.Name(), ev, payload, ch.Mapping().Growth(), t.conns.Send.MaxPayload()) {
				return fmt.Errorf("route to stream %q: message is %w", r.Stream, eventlog.ErrTooLarge)
			}
			return nil
		})
	}
}

// relaySource is an event channel as a relay sees it.
type relaySource struct{ *eventlog.Channel }

var _ relay.Source = relaySource{}

func (s relaySource) Last() uint64 { return s.Info().Last }

func (s relaySource) Cursor(next uint64) relay.Cursor { return s.RelayCursor(next) }

func (s relaySource) Extract(payload []byte) (proto.Event, error) {
	return s.Mapping().Extract(payload)
}
