package verify

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// consumerCheck is what the rows of ConsumersPending are compared with.
type consumerCheck struct {
	channel  *channelCheck // nil if it does not exist
	lastSent uint64
	members  map[uint64]bool
}

// consumers checks the positions of groups and their pending messages.
func (c *check) consumers(ctx context.Context, subscriptions map[uint64]*subscriptionCheck) error {
	known := map[uint64]*consumerCheck{}
	of := map[uint64]uint64{} // the consumer of each subscription
	err := c.snapshot.Query(ctx, "SELECT consumer, id, lastsent, members FROM Consumers ORDER BY consumer", func(rows *sql.Rows) error {
		var id, channel int64
		var lastSent sql.NullInt64
		var members []byte
		ok, err := c.scanned(rows, "Consumers", &id, &channel, &lastSent, &members)
		if err != nil || !ok {
			return err
		}
		bad := func(format string, args ...any) {
			c.findings.add("consumer", "Consumers", fmt.Sprintf("consumer %d", id), format, args...)
		}
		consumer := &consumerCheck{channel: c.subscribed(channel), lastSent: uint64(lastSent.Int64), members: map[uint64]bool{}}
		known[uint64(id)] = consumer
		var list []uint64
		switch err := json.Unmarshal(members, &list); {
		case consumer.channel == nil:
			bad("there is no channel %d", channel)
			return nil
		case consumer.channel.deleted:
			return nil
		case (channel == 0) != (c.patterns[uint64(id)] != ""):
			bad("its id is %d, and its pattern in Wildcards is %q: a consumer has either a channel or a pattern", channel, c.patterns[uint64(id)])
			return nil
		case err != nil:
			bad("members is not a list of subscriptions: %v", err)
			return nil
		case !lastSent.Valid || lastSent.Int64 < 0:
			bad("lastsent is NULL or negative")
			return nil
		case len(list) == 0:
			bad("it has no members")
		}
		for _, member := range list {
			consumer.members[member] = true
			switch sub := subscriptions[member]; {
			case sub == nil:
				bad("there is no subscription %d", member)
			case sub.channel != consumer.channel:
				bad("subscription %d belongs to another channel", member)
			}
			if other, twice := of[member]; twice {
				bad("subscription %d also belongs to consumer %d", member, other)
			}
			of[member] = uint64(id)
		}
		consumer.channel.sent(consumer.lastSent, bad)
		return nil
	})
	if err != nil {
		return err
	}
	for id, pattern := range c.patterns {
		if known[id] == nil {
			c.findings.add("consumer", "Wildcards", fmt.Sprintf("consumer %d", id), "its pattern is %q, but there is no such consumer", pattern)
		}
	}
	err = c.snapshot.Query(ctx, "SELECT consumer, part, pending FROM ConsumersPending ORDER BY consumer, part", func(rows *sql.Rows) error {
		var id, part int64
		var pending []byte
		ok, err := c.scanned(rows, "ConsumersPending", &id, &part, &pending)
		if err != nil || !ok {
			return err
		}
		bad := func(format string, args ...any) {
			c.findings.add("pending", "ConsumersPending", fmt.Sprintf("consumer %d, part %d", id, part), format, args...)
		}
		consumer := known[uint64(id)]
		switch {
		case consumer == nil:
			bad("there is no consumer %d", id)
			return nil
		case consumer.channel == nil || consumer.channel.deleted:
			return nil
		}
		runs, err := stores.DecodeRuns(uint64(part), pending)
		if err != nil {
			bad("pending is not a list of sequences: %v", err)
			return nil
		}
		for _, run := range runs {
			if run.Last > consumer.lastSent {
				bad("pending sequence %d is above lastsent, %d", run.Last, consumer.lastSent)
				break
			}
			if run.Subscription != 0 && !consumer.members[run.Subscription] { // 0: it waits to be sent
				bad("pending sequence %d belongs to subscription %d, which is not a member", run.First, run.Subscription)
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.redelivered(ctx, known)
}
