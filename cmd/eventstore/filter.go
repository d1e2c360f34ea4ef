package main

import (
	"github.com/spf13/pflag"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// filterFlags select events. All that are set must match.
type filterFlags struct {
	types, aggregateTypes, aggregates, prefixes, tags, metadata []string
}

func (f *filterFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.types, "type", "t", nil, "type of event, or a pattern such as 'Order*'; again for any of several")
	flags.StringArrayVar(&f.aggregateTypes, "aggregate-type", nil, "type of aggregate; again for any of several; empty for none")
	flags.StringArrayVarP(&f.aggregates, "aggregate", "a", nil, "ID of the aggregate; again for any of several")
	flags.StringArrayVar(&f.prefixes, "aggregate-prefix", nil, "beginning of the ID of the aggregate; again for any of several")
	flags.StringArrayVar(&f.tags, "tag", nil, "tag; again for several, all of which the event must have")
	flags.StringArrayVarP(&f.metadata, "metadata", "m", nil, "KEY=VALUE of the metadata, if the server indexes the key; again for several, all of which the event must have")
}

// query returns the query for the channels and the flags.
func (f *filterFlags) query(channels []string) (*eventstorev1.Query, error) {
	item := &eventstorev1.QueryItem{
		Channels: channels, EventTypes: f.types, AggregateTypes: f.aggregateTypes, AggregateIds: f.aggregates,
		AggregateIdPrefixes: f.prefixes, Tags: f.tags,
	}
	var err error
	if item.Metadata, err = entries(f.metadata); err != nil {
		return nil, err
	}
	q := &eventstorev1.Query{}
	if len(channels)+len(f.types)+len(f.aggregateTypes)+len(f.aggregates)+len(f.prefixes)+len(f.tags)+len(f.metadata) > 0 {
		q.Items = append(q.Items, item)
	}
	return q, nil
}
