package main

import (
	"strconv"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// expectFlags say under which conditions an event is stored.
type expectFlags struct {
	expect string
	unless []string
	after  uint64
}

func (f *expectFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.expect, "expect", "", "store it only if the aggregate is at this version: a number, none or exists")
	flags.StringArrayVar(&f.unless, "unless", nil, `store it only if no event matches this item of a query, in JSON: {"event_types": ["NameTaken"], "tags": ["name:ada"]}; again for any of several`)
	flags.Uint64Var(&f.after, "after", 0, "with --unless: events up to this position do not count, since you have read them")
}

func (f *expectFlags) given() bool { return f.expect != "" || len(f.unless) > 0 || f.after > 0 }

// add adds the conditions to a request for an event.
func (f *expectFlags) add(request *eventstorev1.AppendRequest, e *eventjson.Event) error {
	if f.expect != "" {
		expectation := &eventstorev1.Expectation{AggregateType: e.AggregateType, AggregateId: e.AggregateID}
		switch f.expect {
		case "any":
			expectation.State = eventstorev1.Expectation_STATE_ANY
		case "none", "0":
			expectation.State = eventstorev1.Expectation_STATE_NONE
		case "exists":
			expectation.State = eventstorev1.Expectation_STATE_EXISTS
		default:
			version, err := strconv.ParseUint(f.expect, 10, 64)
			if err != nil {
				return usage("--expect %q must be a version, none, exists or any", f.expect)
			}
			expectation.State, expectation.Version = eventstorev1.Expectation_STATE_VERSION, version
		}
		request.Expectations = append(request.Expectations, expectation)
	}
	if len(f.unless) == 0 {
		if f.after > 0 {
			return usage("--after belongs to --unless")
		}
		return nil
	}
	query := &eventstorev1.Query{}
	for _, text := range f.unless {
		var item eventstorev1.QueryItem
		if err := protojson.Unmarshal([]byte(text), &item); err != nil {
			return usage("--unless %s: %v", text, err)
		}
		query.Items = append(query.Items, &item)
	}
	request.Conditions = append(request.Conditions, &eventstorev1.Condition{Query: query, AfterPosition: f.after})
	return nil
}
