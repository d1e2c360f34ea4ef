package stores

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats-streaming-server/spb"
)

// named reads a row of NamedConsumers.
func (r *recovery) named(rows *sql.Rows) error {
	var id number
	var line, client, name string
	var settings []byte
	if err := rows.Scan(&id, &line, &client, &name, &settings); err != nil {
		return err
	}
	c := NamedState{NamedConsumer: NamedConsumer{ID: id.n, ConsumerName: ConsumerName{Line: line}, Settings: settings}}
	key := fmt.Sprintf("consumer %v", valueOf(id))
	var clientErr, nameErr error
	c.Client, clientErr = DecodeName(client)
	c.Name, nameErr = DecodeName(name)
	reason := id.problem("consumer")
	if clientErr != nil || nameErr != nil {
		reason = cmp.Or(reason, "client or name is not a name")
	}
	if other, twice := r.namedID[c.ConsumerName]; twice {
		reason = cmp.Or(reason, fmt.Sprintf("consumer %d has the same name", other))
	}
	if reason != "" {
		_ = r.damaged("NamedConsumers", key, reason+"; its settings and its parked messages are not used")
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(settings, &fields); err != nil || fields == nil {
		_ = r.damaged("NamedConsumers", key, "settings is not a JSON object")
	}
	r.namedID[c.ConsumerName] = c.ID
	r.namedAt[c.ID] = len(r.state.Named)
	r.state.Named = append(r.state.Named, c)
	return nil
}

// parkedKey reads how many messages of a key are parked.
func (r *recovery) parkedKey(rows *sql.Rows) error {
	var id number
	var key sql.NullString
	var n int
	if err := rows.Scan(&id, &key, &n); err != nil {
		return err
	}
	at, ok := r.namedAt[id.n]
	if !ok || id.wrong {
		r.orphans[fmt.Sprintf("consumer %v", valueOf(id))] += n
		return nil
	}
	c := &r.state.Named[at]
	c.Parked += n
	if key.String != "" {
		if c.ParkedKeys == nil {
			c.ParkedKeys = map[string]int{}
		}
		c.ParkedKeys[key.String] += n
	}
	return nil
}

// finishParked reports parked messages without a consumer.
func (r *recovery) finishParked() {
	for _, key := range slices.Sorted(maps.Keys(r.orphans)) {
		_ = r.damaged("Parked", key, fmt.Sprintf("NamedConsumers has no such consumer; its %d messages are not used", r.orphans[key]))
	}
}

// redelivered reads a row of ConsumersRedelivered. If it is damaged, its messages count as sent for the first time.
func (r *recovery) redelivered(rows *sql.Rows) error {
	var id, part number
	var counts []byte
	if err := rows.Scan(&id, &part, &counts); err != nil {
		return err
	}
	c := r.consumers[id.n]
	if c == nil || id.wrong {
		return nil
	}
	reason := part.problem("part")
	runs, err := DecodeRedelivered(part.n, counts)
	if err != nil {
		reason = cmp.Or(reason, "counts is not a list of counts")
	}
	if reason != "" {
		_ = r.damaged("ConsumersRedelivered", fmt.Sprintf("consumer %d, part %v", id.n, valueOf(part)), reason+"; its messages count as sent for the first time")
		return nil
	}
	c.redelivered = append(c.redelivered, runs...)
	return nil
}

func (r *recovery) cancelled(rows *sql.Rows) error {
	var id int64
	var seq number
	if err := rows.Scan(&id, &seq); err != nil {
		return err
	}
	at, ok := r.byID[id]
	switch {
	case !ok: // its channel was deleted, or is out of service
	case seq.wrong:
		_ = r.damaged("CancelledDeliveries", fmt.Sprintf("id %d, seq %v", id, seq.value), seq.problem("seq"))
	default:
		r.state.Cancelled = append(r.state.Cancelled, CancelledDelivery{r.state.Channels[at].Channel, seq.n})
	}
	return nil
}

// unnamed is a subscription whose row does not show its name: that of a program before version 12 of the schema.
type unnamed struct {
	channel int64
	data    []byte
	state   *spb.SubState
}

// nameSubscriptions writes the names of subscriptions to their rows, for SQL.
func (s *Store) nameSubscriptions(ctx context.Context, all []unnamed) error {
	const most = 1000 // rows of one transaction, each of which renews the lease
	for part := range slices.Chunk(all, most) {
		err := s.write(ctx, func(t *transaction) error {
			for _, u := range part {
				if err := s.putSubscription(ctx, t, u.channel, u.data, u.state); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
