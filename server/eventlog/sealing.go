package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// errKeysMissing means that keys have to be read before a submission can be encrypted.
var errKeysMissing = errors.New("keys are not in memory")

// seal encrypts the values of an event that its channel encrypts. What the columns hold is read from the encrypted payload, so none of
// them shows a value.
func (l *Log) seal(e *entry, ch *Channel, clear []byte, a *stores.Append) error {
	seals := ch.block.Seals
	found, err := seals.Find(clear)
	if found == nil || err != nil {
		return err
	}
	subjects := found.Subjects()
	set := e.keys
	if !set.Has(subjects) {
		set = l.o.Keys.Cached(subjects)
	}
	if set == nil {
		return errKeysMissing
	}
	sealed, err := set.Seal(ch.name, found)
	if err != nil {
		return err
	}
	event, err := a.Mapping.Extract(sealed)
	if err != nil {
		return fmt.Errorf("with encrypted fields: %w", err)
	}
	a.Payload, a.Event = sealed, &event
	a.Same = func(stored []byte) bool { return l.same(ch, set, stored, clear) }
	return nil
}

// subjectsOf returns whose values a submission has.
func (l *Log) subjectsOf(e *entry) []string {
	known := map[string]bool{}
	var subjects []string
	for i := range e.messages {
		m, ch := &e.messages[i], e.ch
		if m.Channel != "" && m.Channel != e.Channel {
			if ch = l.channels.get(m.Channel); ch == nil {
				continue // it is created first
			}
		}
		if ch.block == nil || ch.block.Seals == nil {
			continue
		}
		found, err := ch.block.Seals.Find(m.Payload)
		if found == nil || err != nil {
			continue // the event is refused later
		}
		for _, id := range found.Subjects() {
			if !known[id] {
				known[id] = true
				subjects = append(subjects, id)
			}
		}
	}
	return subjects
}

// same reports whether a stored payload is the same event as one that is published. Values whose keys are not in memory, because the
// person was forgotten or the event is old, are not compared.
func (l *Log) same(ch *Channel, set *keys.Set, stored, clear []byte) bool {
	sealed := ch.block.Seals.Sealed(stored)
	if sealed == nil {
		return ch.Mapping().SameEvent(stored, clear)
	}
	remembered, _ := l.o.Keys.Remembered(sealed.Keys())
	opened, all := set.With(remembered).Open(ch.name, sealed)
	if all {
		return ch.Mapping().SameEvent(opened, clear)
	}
	found, err := ch.block.Seals.Find(clear)
	return found != nil && err == nil && ch.Mapping().SameEvent(sealed.Blank(), found.Blank())
}

// markOfSeals is in each encrypted value, in JSON and in protobuf.
var markOfSeals = []byte("$sealed")

// Encrypts reports whether values of the channel's events are encrypted.
func (c *Channel) Encrypts() bool {
	return c.block != nil && c.block.Seals != nil && c.log.o.Keys != nil
}

// Unseal returns messages with their values decrypted, as far as there are keys. It changes none of those that it gets. The error is
// keys.ErrUnavailable or ctx's: it is not known then whether there are keys.
func (c *Channel) Unseal(ctx context.Context, msgs []stores.Message) ([]stores.Message, error) {
	if !c.Encrypts() {
		return msgs, nil
	}
	var (
		all   []unsealing
		names []string
		known = make(map[string]bool)
	)
	for i := range msgs {
		u, ok := c.unsealing(&msgs[i])
		if !ok {
			continue
		}
		u.at = i
		all = append(all, u)
		for _, name := range u.found.Keys() {
			if !known[name] {
				known[name] = true
				names = append(names, name)
			}
		}
	}
	if len(all) == 0 {
		return msgs, nil
	}
	msgs = slices.Clone(msgs)
	var failed error
	err := c.log.o.Keys.Use(ctx, names, func(set *keys.Set) {
		for _, u := range all {
			data, err := c.unseal(set, &u)
			if err != nil {
				failed = err
			}
			msgs[u.at].Data = data
		}
	})
	if err != nil {
		return nil, fmt.Errorf("decrypt messages of channel %q: %w", c.name, err)
	}
	if failed != nil {
		return nil, failed
	}
	return msgs, nil
}

// Warm reads the keys of messages into memory for Plain. Its error is that of Unseal.
func (c *Channel) Warm(ctx context.Context, msgs []stores.Message) error {
	if !c.PlainToSubscribers() {
		return nil
	}
	var names []string
	for i := range msgs {
		if u, ok := c.unsealing(&msgs[i]); ok {
			names = append(names, u.found.Keys()...)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if _, err := c.log.o.Keys.ForKeys(ctx, names); err != nil {
		return fmt.Errorf("decrypt messages of channel %q: %w", c.name, err)
	}
	return nil
}

// Plain returns an encoded message as clients of NATS Streaming get it. It returns false if that needs keys which are not in memory.
func (c *Channel) Plain(data []byte) ([]byte, bool) {
	if !c.PlainToSubscribers() {
		return data, true
	}
	u, ok := c.unsealing(&stores.Message{Data: data})
	if !ok {
		return data, true
	}
	var plain []byte
	var err error
	known := c.log.o.Keys.UseRemembered(u.found.Keys(), func(set *keys.Set) { plain, err = c.unseal(set, &u) })
	if !known || err != nil {
		return nil, false
	}
	return plain, true
}

// unsealing is a message with encrypted values.
type unsealing struct {
	at    int
	msg   pb.MsgProto
	found *proto.Found
}

// unsealing decodes a message. It returns false if nothing in it is encrypted.
func (c *Channel) unsealing(m *stores.Message) (unsealing, bool) {
	var u unsealing
	if !bytes.Contains(m.Data, markOfSeals) || u.msg.Unmarshal(m.Data) != nil {
		return u, false
	}
	u.found = c.block.Seals.Sealed(u.msg.Data)
	return u, u.found != nil
}

// unseal returns an encoded message with its values decrypted.
func (c *Channel) unseal(set *keys.Set, u *unsealing) ([]byte, error) {
	msg := u.msg
	msg.Data, _ = set.Open(c.name, u.found)
	return msg.Marshal()
}

// PlainToSubscribers reports whether clients of NATS Streaming get the channel's encrypted values decrypted.
func (c *Channel) PlainToSubscribers() bool { return c.Encrypts() && c.block.PlainSubscribers }

// PlainToSubscribers reports whether some channel does.
func (w Wildcard) PlainToSubscribers() bool {
	return slices.ContainsFunc(w.log.o.Events.blocks, func(b *Block) bool { return b.PlainSubscribers })
}
