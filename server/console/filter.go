package console

import (
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// filter is what the form of the events selects, as in the address of the page.
type filter struct {
	Channel, Type, AggregateType, Aggregate, Tag string
	Time                                         string // newest first: this time or earlier; oldest first: or later
	Oldest                                       bool   // first

	time time.Time
}

func filterOf(q url.Values) (filter, error) {
	f := filter{
		Channel: strings.TrimSpace(q.Get("channel")), Type: strings.TrimSpace(q.Get("type")), AggregateType: strings.TrimSpace(q.Get("aggregate_type")),
		Aggregate: q.Get("aggregate"), Tag: q.Get("tag"), Time: strings.TrimSpace(q.Get("time")), Oldest: q.Get("order") == "oldest",
	}
	var err error
	if f.Time != "" {
		f.time, err = parseTime(f.Time)
	}
	return f, err
}

// Empty reports whether every event matches.
func (f filter) Empty() bool {
	f.Time, f.time, f.Oldest = "", time.Time{}, false
	return f == filter{}
}

// query returns the filter as the API has it. Lists are separated by spaces or commas, which types and channels do not contain.
func (f filter) query() *eventstorev1.Query {
	if f.Empty() {
		return &eventstorev1.Query{}
	}
	it := &eventstorev1.QueryItem{Channels: listOf(f.Channel), EventTypes: listOf(f.Type)}
	if f.AggregateType != "" {
		it.AggregateTypes = []string{f.AggregateType}
	}
	switch prefix, ok := strings.CutSuffix(f.Aggregate, "*"); {
	case f.Aggregate == "" || f.Aggregate == "*":
	case ok:
		it.AggregateIdPrefixes = []string{prefix}
	default:
		it.AggregateIds = []string{f.Aggregate}
	}
	if f.Tag != "" {
		it.Tags = []string{f.Tag}
	}
	return &eventstorev1.Query{Items: []*eventstorev1.QueryItem{it}}
}

func listOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
}

// request returns a request for a page of events, from a position unless that is 0.
func (f filter) request(from uint64, limit int) *eventstorev1.ReadRequest {
	req := &eventstorev1.ReadRequest{Query: f.query(), Limit: uint64(limit), Direction: eventstorev1.Direction_DIRECTION_BACKWARD}
	if f.Oldest {
		req.Direction = eventstorev1.Direction_DIRECTION_FORWARD
	}
	switch {
	case from > 0:
		req.Start = &eventstorev1.ReadRequest_FromPosition{FromPosition: from}
	case f.Time != "":
		req.Start = &eventstorev1.ReadRequest_FromTime{FromTime: timestamppb.New(f.time)}
	}
	return req
}

// Path returns the address of a page of the events that match.
func (f filter) Path(path string, more ...string) string {
	order := ""
	if f.Oldest {
		order = "oldest"
	}
	return link(path, append([]string{"channel", f.Channel, "type", f.Type, "aggregate_type", f.AggregateType, "aggregate", f.Aggregate,
		"tag", f.Tag, "time", f.Time, "order", order}, more...)...)
}
