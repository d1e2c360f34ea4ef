package streams

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

const (
	// defaultAckWait and defaultMaxInflight are what NATS Streaming's clients ask for by default, for groups without a member.
	defaultAckWait     = 30 * time.Second
	defaultMaxInflight = 1024
	// metadataConsumer is the key of the metadata by which a consumer of a copy names its origin.
	metadataConsumer = "eventstore_consumer"
)

// pausedUntil is as good as never.
var pausedUntil = time.Date(2222, 2, 22, 0, 0, 0, 0, time.UTC)

// nameOf returns how the flag that renames a consumer calls it: CLIENT/NAME for a plain durable, otherwise NAME.
func nameOf(c *eventstorev1.Consumer) string {
	if c.GetClient() == "" {
		return c.GetName()
	}
	return c.GetClient() + "/" + c.GetName()
}

// consumerName returns the name of a consumer of JetStream: CLIENT_NAME of a plain durable, DURABLE_GROUP of a durable queue group, or
// that of the queue group.
func (o *Options) consumerName(c *eventstorev1.Consumer) (string, error) {
	name, given := o.Consumers[nameOf(c)]
	if !given {
		name = legal(strings.NewReplacer("/", "_", ":", "_").Replace(nameOf(c)))
	}
	if name != legal(name) || name == "" || len(name) > maxName {
		return "", fmt.Errorf("consumer %q of channel %q: %q is not a name for a consumer of JetStream: choose one with --consumer '%s=NAME'", nameOf(c), c.GetChannel(), name, nameOf(c))
	}
	return name, nil
}

// start is the sequence of the first message that a consumer must get.
func start(c *eventstorev1.Consumer) uint64 {
	if first := c.GetFirstUnacked(); first > 0 {
		return first
	}
	return c.GetLastSent() + 1
}

// config returns the consumer of JetStream that goes on where a consumer is, and what it does otherwise than that.
func config(c *eventstorev1.Consumer, name string, subject relay.Template) (jetstream.ConsumerConfig, []string) {
	settings := c.GetSettings()
	config := jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: start(c),
		AckWait: defaultAckWait, MaxAckPending: inflight(c), MaxDeliver: -1,
		Description: fmt.Sprintf("%s %s of channel %s", kind(c), nameOf(c), c.GetChannel()),
		Metadata:    map[string]string{metadataChannel: c.GetChannel(), metadataConsumer: nameOf(c)},
	}
	var wait time.Duration
	for _, m := range c.GetMembers() {
		wait = max(wait, m.GetAckWait().AsDuration())
	}
	config.AckWait = cmp.Or(wait, config.AckWait)
	if settings.GetAckWait() != nil {
		config.AckWait = settings.GetAckWait().AsDuration()
	}
	stalls := settings.GetOnLimit() == "stall"
	if limit := int(settings.GetMaxDeliveries()); limit > 0 && !stalls {
		config.MaxDeliver = limit
	}
	for _, d := range settings.GetBackoff() {
		if config.MaxDeliver == -1 || len(config.BackOff) < config.MaxDeliver {
			config.BackOff = append(config.BackOff, d.AsDuration())
		}
	}
	if len(config.BackOff) > 0 {
		config.AckWait = config.BackOff[0]
	}
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if settings.GetPaused() {
		config.PauseUntil = &pausedUntil
		note("it is paused: nats consumer resume")
	}
	if types := settings.GetFilter().GetTypes(); len(types) > 0 {
		if exact(types) && subject.NamesType() {
			config.FilterSubjects = subject.Patterns(types)
		} else {
			note("its filter of types does not count: the application must skip other events, or put {event_type} into --subject and use types without a * inside a word")
		}
	}
	if len(settings.GetFilter().GetTags()) > 0 {
		note("its filter of tags does not count: the application must skip other events")
	}
	if by := settings.GetOrderBy(); by != "" && by != "none" {
		note("its order_by %s does not count: several workers may have events of one key at a time, unless max_ack_pending is 1", by)
	}
	switch {
	case settings.GetMaxDeliveries() == 0:
	case stalls:
		note("JetStream cannot stall after %d deliveries, so it sends a message until it is acknowledged, and sends those behind it, too", settings.GetMaxDeliveries())
	default:
		note("after %d deliveries, JetStream does not park a message: it sends an advisory on $JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES", settings.GetMaxDeliveries())
	}
	if n := c.GetParked(); n > 0 {
		note("its %d parked messages stay behind: replay or discard them first (eventstore consumers parked)", n)
	}
	if sent := c.GetLastSent() + 1 - min(start(c), c.GetLastSent()+1); sent > c.GetUnacked() {
		note("it gets up to %d messages again, which it acknowledged before message %d", sent-c.GetUnacked(), start(c))
	}
	return config, notes
}

// inflight returns how many messages may be unacknowledged. NATS Streaming counts by member, JetStream by consumer.
func inflight(c *eventstorev1.Consumer) int {
	active, sum, offline := 0, 0, 0
	for _, m := range c.GetMembers() {
		if m.GetOffline() {
			offline = int(m.GetMaxInflight())
			continue
		}
		active++
		sum += int(m.GetMaxInflight())
	}
	if own := int(c.GetSettings().GetMaxInflight()); own > 0 {
		return own * max(active, 1)
	}
	return cmp.Or(sum, offline, defaultMaxInflight)
}

// exact reports whether all patterns of types can be part of a subject: a * is a whole token there.
func exact(types []string) bool {
	for _, t := range types {
		for token := range strings.SplitSeq(t, ".") {
			if strings.Contains(token, "*") && token != "*" {
				return false
			}
		}
	}
	return true
}

func kind(c *eventstorev1.Consumer) string {
	switch {
	case c.GetQueue() && c.GetDurable():
		return "durable queue group"
	case c.GetQueue():
		return "queue group"
	}
	return "durable"
}
