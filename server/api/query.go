package api

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// byQuery are the events that a request selects by position, and where it begins.
type byQuery struct {
	query    stores.Query
	position uint64 // 0: at the first event or, backward, at the last
	since    int64  // recorded time of the first event, in ns since 1970; negative if the position counts
	waiting  bool   // no event as recent as since was seen yet
	backward bool
}

// placed is a request for the events of a channel, by sequence, or of a query, by position.
type placed interface {
	GetChannel() string
	GetFilter() *eventstorev1.Filter
	GetQuery() *eventstorev1.Query
	GetFromTime() *timestamppb.Timestamp
	GetFromPosition() uint64
}

// byQueryOf validates a request that has a query.
func byQueryOf(req placed, fromSequence bool) (byQuery, error) {
	switch {
	case req.GetChannel() != "":
		return byQuery{}, invalid("a request has a channel or a query: name the channel in the query's items")
	case req.GetFilter() != nil:
		return byQuery{}, invalid("a filter is for a channel: write its conditions as an item of the query")
	case fromSequence:
		return byQuery{}, invalid("from_sequence is for a channel: a query begins at from_position")
	}
	q := byQuery{query: queryOf(req.GetQuery()), position: req.GetFromPosition(), since: -1}
	if req.GetFromTime() != nil {
		var err error
		if q.since, err = nanoseconds(req.GetFromTime()); err != nil {
			return byQuery{}, err
		}
	}
	return q, q.query.Validate()
}

// queryOf returns a query of the API as the store knows it.
func queryOf(q *eventstorev1.Query) stores.Query {
	var query stores.Query
	for _, it := range q.GetItems() {
		query.Items = append(query.Items, stores.QueryItem{
			Channels:            it.GetChannels(),
			Types:               it.GetEventTypes(),
			AggregateTypes:      it.GetAggregateTypes(),
			AggregateIDs:        it.GetAggregateIds(),
			AggregateIDPrefixes: it.GetAggregateIdPrefixes(),
			Tags:                it.GetTags(),
			Metadata:            it.GetMetadata(),
		})
	}
	return query
}

// errNeedsQuery refuses a position without a query.
var errNeedsQuery = invalid("from_position and direction are for a query: set query, with the channel in its items, or begin at from_sequence")
