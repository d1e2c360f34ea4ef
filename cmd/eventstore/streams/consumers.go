package streams

import (
	"context"
	"errors"
	"fmt"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Consumed is what became of a consumer.
type Consumed struct {
	Channel  string   `json:"channel"`
	Client   string   `json:"client,omitempty"`
	Name     string   `json:"name"`
	Stream   string   `json:"stream,omitempty"`
	Consumer string   `json:"consumer,omitempty"`
	Next     uint64   `json:"next_sequence,omitempty"` // that it gets first
	State    string   `json:"state"`                   // created, renewed, in use, or left out
	Notes    []string `json:"notes,omitempty"`

	config jetstream.ConsumerConfig
}

// States of Consumed.
const (
	stateCreated = "created"
	stateRenewed = "renewed" // it was there, and nobody had used it
	stateInUse   = "in use"  // it was there, and applications have used it
	stateLeft    = "left out"
	statePlanned = "planned"
)

// PlanConsumers finds out what becomes of the consumers of the channels.
func (c *Copier) PlanConsumers(ctx context.Context) ([]Consumed, error) {
	all, err := c.Source.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	streams := make(map[string]*stream, len(c.streams))
	for _, s := range c.streams {
		streams[s.channel.GetName()] = s
	}
	var planned []Consumed
	taken := make(map[[2]string]*eventstorev1.Consumer)
	for _, from := range all {
		s := streams[from.GetChannel()]
		p := Consumed{Channel: from.GetChannel(), Client: from.GetClient(), Name: from.GetName(), State: stateLeft}
		switch {
		case s == nil && c.reads(from.GetChannel()):
			p.Notes = []string{"it reads all channels of a pattern, which no consumer of JetStream can across streams: make one for each stream"}
			planned = append(planned, p)
			continue
		case s == nil:
			continue
		case !from.GetExists():
			p.Notes = []string{"it has settings, but no position: applications make their consumer"}
			planned = append(planned, p)
			continue
		}
		if p.Consumer, err = c.consumerName(from); err != nil {
			return nil, err
		}
		key := [2]string{s.name, p.Consumer}
		if other := taken[key]; other != nil {
			return nil, fmt.Errorf("consumers %q and %q of channel %q would both become consumer %q: name one of them otherwise, such as --consumer '%s=%s-2'",
				nameOf(other), nameOf(from), from.GetChannel(), p.Consumer, nameOf(from), p.Consumer)
		}
		taken[key] = from
		p.config, p.Notes = config(from, p.Consumer, s.route.Subject)
		p.Stream, p.Next, p.State = s.name, p.config.OptStartSeq, statePlanned
		planned = append(planned, p)
	}
	return planned, nil
}

// reads reports whether a consumer's pattern matches a channel of the copy.
func (c *Copier) reads(pattern string) bool {
	for _, s := range c.streams {
		if natsd.SubjectMatchesFilter(s.channel.GetName(), pattern) {
			return true
		}
	}
	return false
}

// CreateConsumers creates the consumers of the plan. One that is there from an earlier run moves to its position, unless it has been used.
func (c *Copier) CreateConsumers(ctx context.Context, planned []Consumed) error {
	for i := range planned {
		if p := &planned[i]; p.State == statePlanned {
			if err := c.createConsumer(ctx, p); err != nil {
				return explain(fmt.Errorf("consumer %q of stream %q: %w", p.Consumer, p.Stream, err))
			}
		}
	}
	return nil
}

func (c *Copier) createConsumer(ctx context.Context, p *Consumed) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	p.State = stateCreated
	found, err := c.js.Consumer(ctx, p.Stream, p.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return err
	default:
		info := found.CachedInfo()
		if info.Config.Metadata[metadataConsumer] != p.config.Metadata[metadataConsumer] || info.Config.Metadata[metadataChannel] != p.Channel {
			return fmt.Errorf("there is one of this name, which no copy of %s has made: delete it, or choose another name with --consumer", p.Channel)
		}
		if info.Delivered.Consumer > 0 {
			p.State, p.Next = stateInUse, info.AckFloor.Stream+1
			p.Notes = []string{"applications have used it, so it stays where it is"}
			return nil
		}
		if err := c.js.DeleteConsumer(ctx, p.Stream, p.Consumer); err != nil {
			return err
		}
		p.State = stateRenewed
	}
	_, err = c.js.CreateConsumer(ctx, p.Stream, p.config)
	return err
}
