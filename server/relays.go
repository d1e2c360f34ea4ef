package server

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// hasStreams reports whether some route goes to a stream.
func hasStreams(routes []Route) bool {
	for i := range routes {
		if routes[i].Stream != "" {
			return true
		}
	}
	return false
}

// validateJetStream says whether there is a JetStream for the routes. One of a cluster, or beyond a leaf node or a
// gateway, is only found while serving.
func (o *Options) validateJetStream() error {
	alone := o.NATSURL == "" && o.NATS.Cluster.Port == 0 && o.NATS.Gateway.Name == "" && len(o.NATS.LeafNode.Remotes) == 0
	if !alone || o.NATS.JetStream {
		return nil
	}
	for i := range o.Routes {
		if r := &o.Routes[i]; r.Stream != "" {
			return fmt.Errorf("%s: routes: stream %q needs JetStream: start with -js, or with a jetstream block in the configuration of NATS", r.At, r.Stream)
		}
	}
	return nil
}

// newRelays returns a relay for each stream of routes.
func newRelays(o *Options, nc *nats.Conn, store *stores.Store, log *slog.Logger) ([]*relay.Relay, error) {
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
			byStream[r.Stream] = to
			relays = append(relays, to)
		}
		template, err := relay.ParseTemplate(r.Subject)
		if err != nil {
			return nil, fmt.Errorf("route to stream %q: %w", r.Stream, err)
		}
		to.Routes = append(to.Routes, relay.Route{
			From: r.hasFrom, Types: r.Types, Subject: template, DataOnly: r.DataOnly, Headers: r.Headers,
		})
	}
	return relays, nil
}

// relayed has an event channel's events relayed. It is called before anybody else knows the channel.
func (s *service) relayed(ch *channel) {
	if ch.events == nil {
		return
	}
	for _, r := range s.relays {
		if r.Add(relaySource{ch}) {
			ch.relays = append(ch.relays, r)
		}
	}
}

// relaySource is an event channel as a relay sees it.
type relaySource struct{ ch *channel }

var _ relay.Source = relaySource{}

func (s relaySource) Name() string { return s.ch.name }
func (s relaySource) Last() uint64 { return s.ch.stored.Info().Last }

func (s relaySource) Read(ctx context.Context, from, to uint64, max int) ([]stores.Message, error) {
	return s.ch.read(ctx, from, to, max)
}

func (s relaySource) Extract(payload []byte) (proto.Event, error) {
	return s.ch.events.mapping.Extract(payload)
}
