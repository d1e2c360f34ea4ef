package settings

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

// consumersKey is the key of a block, or a list of blocks, with settings of durables and queue groups. The keys of one block are the
// settings below.
const consumersKey = "consumers"

var (
	consumerBlock = []string{consumersKey}
	filterBlock   = under(consumerBlock, "filter")
)

// consumerSettings are those of durables and queue groups. Those of a block have keys but no flags, and a reload applies them.
var consumerSettings = []setting{
	consumerSetting(under(consumerBlock, "channels"), list, "Patterns of the channels of the consumers; a consumer of a pattern needs the same pattern or a wider one",
		func(r *consumers.Rule, v string) error { r.Channels = splitList(v); return nil }).or("all"),
	consumerSetting(under(consumerBlock, "names"), list, "Names of the durables and queue groups; * stands for any text",
		func(r *consumers.Rule, v string) error { r.Names = splitList(v); return nil }).or("all"),
	consumerSetting(under(consumerBlock, "max_deliveries"), count, "How often a message is sent at most, before on_limit applies; 0 is unlimited",
		func(r *consumers.Rule, v string) error { return setNumber(&r.Settings.MaxDeliveries, v) }).or("0"),
	consumerSetting(under(consumerBlock, "backoff"), list, "How long the first, second, ... delivery waits for its acknowledgement, such as [\"1s\", \"5s\"]; instead of ack_wait",
		func(r *consumers.Rule, v string) error {
			waits := []consumers.Duration{}
			for _, it := range splitList(v) {
				if err := duration.check(it); err != nil {
					return err
				}
				d, err := time.ParseDuration(it)
				if err != nil {
					return err
				}
				waits = append(waits, consumers.Duration(d))
			}
			r.Settings.Backoff = &waits
			return nil
		}),
	consumerSetting(under(consumerBlock, "ack_wait"), duration, "How long a delivery waits for its acknowledgement",
		func(r *consumers.Rule, v string) error {
			d, err := time.ParseDuration(v)
			r.Settings.AckWait = (*consumers.Duration)(&d)
			return err
		}).or("what the client asks for"),
	consumerSetting(under(consumerBlock, "max_inflight"), count, "Maximum number of unacknowledged messages of a member",
		func(r *consumers.Rule, v string) error { return setNumber(&r.Settings.MaxInflight, v) }).or("what the client asks for"),
	consumerSetting(under(consumerBlock, "order_by"), text, "Messages with the same key are with one member at a time: none, aggregate, or tag: and the prefix of a tag",
		func(r *consumers.Rule, v string) error { r.Settings.OrderBy = &v; return nil }).or(consumers.OrderNone),
	consumerSetting(under(consumerBlock, "on_limit"), text, "What becomes of a message after max_deliveries: park, skip, or stall the consumer",
		func(r *consumers.Rule, v string) error { r.Settings.OnLimit = &v; return nil }).
		or(consumers.LimitPark, consumers.LimitPark, consumers.LimitSkip, consumers.LimitStall),
	consumerSetting(under(consumerBlock, "behind_parked"), text, "What becomes of later messages of a key of which one is parked: park or flow",
		func(r *consumers.Rule, v string) error { r.Settings.BehindParked = &v; return nil }).
		or(consumers.BehindPark, consumers.BehindPark, consumers.BehindFlow),
	consumerSetting(under(consumerBlock, "paused"), toggle, "Send nothing",
		func(r *consumers.Rule, v string) error {
			on, err := strconv.ParseBool(v)
			r.Settings.Paused = &on
			return err
		}),
	consumerSetting(under(filterBlock, "types"), list, "Patterns of the event types to send, such as OrderPaid, Order* or orders.>",
		func(r *consumers.Rule, v string) error { filterOf(r).Types = splitList(v); return nil }).or("all"),
	consumerSetting(under(filterBlock, "tags"), list, "Tags of the events to send; one of them is enough",
		func(r *consumers.Rule, v string) error { filterOf(r).Tags = splitList(v); return nil }).or("all"),
	{
		flags: []string{"redelivery_rate"}, keys: []string{"redelivery_rate"}, kind: count,
		usage: "Messages a second that are sent again more than once, over all consumers; 0 is unlimited", def: "5000",
		state: added,
		set:   setCount(func(o *Options) *int { return &o.RedeliveryRate }),
	},
}

func consumerSetting(keys []string, k kind, usage string, set func(*consumers.Rule, string) error) setting {
	return setting{
		keys: keys, kind: k, usage: usage, state: added, live: true,
		set: func(o *Options, v, _ string) error { return set(o.rule, v) },
	}
}

func setNumber(field **int, v string) error {
	n, err := strconv.Atoi(v)
	*field = &n
	return err
}

func filterOf(r *consumers.Rule) *consumers.Filter {
	if r.Settings.Filter == nil {
		r.Settings.Filter = &consumers.Filter{}
	}
	return r.Settings.Filter
}

// applyConsumers sets the options of one block of consumers, or of a list of blocks.
func (o *Options) applyConsumers(b blockOf, name string, tk any) error {
	blocks, several := value(tk).([]any)
	if !several {
		blocks = []any{tk}
	}
	b.prefix = consumersKey + "."
	o.Consumers = make([]consumers.Rule, len(blocks))
	defer func() { o.rule = nil }()
	var errs []error
	for i, tk := range blocks {
		content, ok := value(tk).(map[string]any)
		if !ok {
			errs = append(errs, &placedError{place(b.file, tk), wrongType(name, block, tk)})
			continue
		}
		o.rule = &o.Consumers[i]
		o.rule.At = place(b.file, tk)
		errs = append(errs, o.applyBlock(b, content))
	}
	return errors.Join(errs...)
}
