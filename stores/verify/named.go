package verify

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// named checks the consumers with settings or parked messages, and those messages.
func (c *check) named(ctx context.Context) error {
	known := map[uint64]*channelCheck{} // nil if its channel does not exist
	names := map[stores.ConsumerName]uint64{}
	channels := map[string]*channelCheck{}
	for _, ch := range c.channels {
		if !ch.deleted {
			channels[ch.name] = ch
		}
	}
	err := c.snapshot.Query(ctx, "SELECT consumer, channel, client, name, settings FROM NamedConsumers ORDER BY consumer", func(rows *sql.Rows) error {
		var id int64
		var line, client, text string
		var settings []byte
		ok, err := c.scanned(rows, "NamedConsumers", &id, &line, &client, &text, &settings)
		if err != nil || !ok {
			return err
		}
		bad := func(format string, args ...any) {
			c.findings.add("named", "NamedConsumers", fmt.Sprintf("consumer %d", id), format, args...)
		}
		known[uint64(id)] = channels[line]
		if strings.ContainsAny(line, "*>") && stores.ValidPattern(line) {
			known[uint64(id)] = c.allEvents
		}
		name := stores.ConsumerName{Line: line}
		var clientErr, nameErr error
		name.Client, clientErr = stores.DecodeName(client)
		name.Name, nameErr = stores.DecodeName(text)
		if clientErr != nil || nameErr != nil {
			bad("client %s or name %s is not a name", client, text)
		} else if other, twice := names[name]; twice {
			bad("consumer %d has the same name", other)
		}
		names[name] = uint64(id)
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(settings, &fields); err != nil || fields == nil {
			bad("settings is not a JSON object")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.snapshot.Query(ctx, "SELECT consumer, seq, deliveries, first_delivery, last_delivery FROM Parked ORDER BY consumer, seq", func(rows *sql.Rows) error {
		var id, seq, deliveries, first, last int64
		ok, err := c.scanned(rows, "Parked", &id, &seq, &deliveries, &first, &last)
		if err != nil || !ok {
			return err
		}
		bad := func(format string, args ...any) {
			c.findings.add("parked", "Parked", fmt.Sprintf("consumer %d, seq %d", id, seq), format, args...)
		}
		ch, ok := known[uint64(id)]
		switch {
		case !ok:
			bad("there is no named consumer %d", id)
		case seq <= 0 || min(deliveries, first, last) < 0:
			bad("a column is negative, or seq is 0")
		case ch != nil && seq > ch.maxseq:
			bad("the last one assigned is %d", ch.maxseq)
		}
		return nil
	})
}

// redelivered checks the redelivery counts of consumers.
func (c *check) redelivered(ctx context.Context, known map[uint64]*consumerCheck) error {
	return c.snapshot.Query(ctx, "SELECT consumer, part, counts FROM ConsumersRedelivered ORDER BY consumer, part", func(rows *sql.Rows) error {
		var id, part int64
		var counts []byte
		ok, err := c.scanned(rows, "ConsumersRedelivered", &id, &part, &counts)
		if err != nil || !ok {
			return err
		}
		key := fmt.Sprintf("consumer %d, part %d", id, part)
		if known[uint64(id)] == nil {
			c.notes.add("redelivered", "ConsumersRedelivered", key, "an older server left it behind: there is no such consumer")
		} else if _, err := stores.DecodeRedelivered(uint64(part), counts); err != nil {
			c.findings.add("redelivered", "ConsumersRedelivered", key, "counts is not a list of counts: %v", err)
		}
		return nil
	})
}

// cancelled checks the cancelled deliveries.
func (c *check) cancelled(ctx context.Context) error {
	return c.snapshot.Query(ctx, "SELECT id, seq FROM CancelledDeliveries ORDER BY id, seq", func(rows *sql.Rows) error {
		var id, seq int64
		ok, err := c.scanned(rows, "CancelledDeliveries", &id, &seq)
		if err != nil || !ok {
			return err
		}
		bad := func(format string, args ...any) {
			c.findings.add("cancelled", "CancelledDeliveries", fmt.Sprintf("id %d, seq %d", id, seq), format, args...)
		}
		switch ch := c.channels[id]; {
		case ch == nil || ch.deleted:
			c.notes.add("cancelled", "CancelledDeliveries", fmt.Sprintf("id %d, seq %d", id, seq), "an older server left it behind: there is no such channel")
		case seq <= 0:
			bad("seq is negative or 0")
		case seq > ch.maxseq:
			bad("the last one assigned is %d", ch.maxseq)
		}
		return nil
	})
}
