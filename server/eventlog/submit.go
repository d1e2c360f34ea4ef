package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// deliveryOverhead is the most that a delivered pb.MsgProto needs beside subject, reply and payload: sequence 11 bytes,
	// timestamp 10, redelivery fields 2 and 6, and the headers of subject, reply and payload 3, 4 and 6. A pb.PubMsg with the GUID
	// and connection ID of a client library needs 56 and more, so that whatever such a client can publish can be delivered, with
	// an assigned event_version in protobuf, too.
	deliveryOverhead = 42
	// inlineBytes is the largest submission that Submit decodes itself if its line is free. That is faster than to wake
	// a decoder.
	inlineBytes = 4 << 10
)

// Check looks at the stored events for conditions of a group that is about to be submitted: the writer then looks at later
// ones only. The error is ErrUnavailable, or the cause of ctx's end.
func (l *Log) Check(ctx context.Context, conditions []stores.Condition) error {
	for i := range conditions {
		if err := l.store.CheckCondition(ctx, &conditions[i], l.reading.turn); err != nil {
			return err
		}
	}
	return nil
}

// Submit stores a submission and answers it. It does not block.
func (l *Log) Submit(s Submission) {
	e := &entry{Submission: s, deadline: s.Received.Add(l.o.StoreTimeout)}
	if l.outage.Load() && !time.Now().Before(e.deadline) {
		e.answer([]stores.Result{{Err: l.overdue()}})
		l.admission.Release(e.Held)
		return
	}
	line, ok := l.queue.put(e, e.Held > 0 && e.Held <= inlineBytes)
	switch {
	case !ok:
		e.answer([]stores.Result{{Err: ErrStopped}})
		l.admission.Release(e.Held)
	case line != nil:
		l.decode(line, e)
	}
}

// decoder decodes submissions until the queue ends.
func (l *Log) decoder() {
	for {
		line, e := l.queue.nextRaw()
		if line == nil {
			return
		}
		l.decode(line, e)
	}
}

// decode prepares a submission for the writer, refuses it, or suspends it until its channel is created.
func (l *Log) decode(line *line, e *entry) {
	missing, err := l.prepare(e)
	switch {
	case errors.Is(err, errKeysMissing):
		l.queue.suspend(line, e)
		l.keeper.want(l.subjectsOf(e), func(set *keys.Set, err error) {
			e.keys = set
			if l.queue.resume(line, e, err != nil) {
				l.refuseAll(err, e)
			}
		})
	case err != nil:
		l.queue.finish(line, e, true)
		l.refuseAll(err, e)
	case missing == "":
		l.queue.finish(line, e, false)
	default:
		l.queue.suspend(line, e)
		l.creator.want(e.From, missing, e.deadline, func(_ *Channel, err error) {
			if l.queue.resume(line, e, err != nil) {
				l.refuseAll(err, e)
			}
		})
	}
}

// refuseAll refuses submissions and makes the calls that waited for them.
func (l *Log) refuseAll(err error, entries ...*entry) {
	if len(entries) == 0 {
		return
	}
	held := 0
	for _, e := range entries {
		e.answer([]stores.Result{{Err: err}})
		held += e.Held
	}
	l.finished(held, entries...)
}

// finished records that submissions were answered.
func (l *Log) finished(held int, entries ...*entry) {
	l.admission.Release(held)
	for _, f := range l.queue.answered(entries...) {
		l.call(f)
	}
}

// prepare determines what to store. It returns the name of a missing channel, after whose creation it can be called
// again. An error refuses the submission.
func (l *Log) prepare(e *entry) (missing string, err error) {
	if e.ch == nil {
		if e.ch, err = l.channels.find(e.Channel); err != nil || e.ch == nil {
			return e.Channel, err
		}
		e.ch.Touch() // not to be deleted for inactivity before the commit
	}
	if e.messages == nil {
		if e.messages, err = e.Decode(e.ch); err != nil {
			return "", err
		}
	}
	e.appends, e.channels = make([]stores.Append, len(e.messages)), make([]*Channel, len(e.messages))
	e.copies, e.bytes = nil, 0
	for i := range e.messages {
		if missing, err = l.prepareMessage(e, i); missing != "" || err != nil {
			return missing, e.numbered(i, err)
		}
	}
	e.decoded()
	e.messages, e.Decode = nil, nil
	return "", nil
}

// numbered adds to an error which message of a group it is about.
func (e *entry) numbered(i int, err error) error {
	switch {
	case err == nil || e.Group == nil:
		return err
	case err == errMessageTooLarge: //nolint:errorlint // a copy's error wraps it with another text
		return fmt.Errorf("event %d is %w", i+1, ErrTooLarge)
	}
	return fmt.Errorf("event %d: %w", i+1, err)
}

func (l *Log) prepareMessage(e *entry, i int) (missing string, err error) {
	m, a := &e.messages[i], &e.appends[i]
	ch := e.ch
	if m.Channel != "" && m.Channel != e.Channel {
		if ch, err = l.channels.find(m.Channel); err != nil || ch == nil {
			return m.Channel, err
		}
		ch.Touch()
	}
	e.channels[i] = ch
	growth := 0
	if ch.block != nil {
		growth = ch.block.Mapping.Growth()
	}
	if !l.deliverable(ch.name, m.Reply, len(m.Payload)+growth) {
		return "", errMessageTooLarge
	}
	*a = stores.Append{Channel: ch.stored, Reply: m.Reply, Payload: m.Payload, Event: m.Event, Versions: ch.versions, Group: e.Group, By: e.By}
	size := len(m.Payload)
	if ch.block != nil {
		if a.Mapping = ch.block.Mapping; a.Event == nil {
			event, err := a.Mapping.ExtractNew(m.Payload)
			if err != nil {
				return "", err
			}
			m.Event, a.Event = &event, &event // for a repeated call, too
		}
		if _, err := ch.DeliveryTime(a.Event); err != nil {
			return "", err
		}
		if ch.block.Seals != nil {
			if err := l.seal(e, ch, m.Payload, a); err != nil {
				return "", err
			}
			if !l.deliverable(ch.name, m.Reply, len(a.Payload)+growth) {
				return "", errMessageTooLarge
			}
			size = len(a.Payload)
		}
		size += a.Event.Extra()
		if a.Mapping != nil {
			size += len(a.Event.Data) // likewise
		}
		copies, missing, err := l.route(ch, a, m.DataTo)
		if missing != "" || err != nil {
			return missing, err
		}
		if copies != nil {
			if e.copies == nil {
				e.copies = make([][]*Channel, len(e.messages))
			}
			e.copies[i] = copies
			size *= 1 + len(copies)
		}
		for _, check := range ch.checks {
			if err := check(a.Event, a.Payload); err != nil {
				return "", err
			}
		}
	}
	e.bytes += size
	return "", nil
}

// route adds the copies of an event and returns their channels. Its error refuses the event, which must not be stored
// without its copies.
func (l *Log) route(ch *Channel, a *stores.Append, dataTo string) (to []*Channel, missing string, err error) {
	routes := ch.copies
	if dataTo != "" {
		routes = append(slices.Clip(routes), &CopyRoute{Channel: dataTo, DataOnly: true})
	}
	for _, r := range routes {
		if len(r.Types) > 0 && !r.MatchesType(r.Types, a.Event.Type) {
			continue
		}
		name := r.Channel
		if r.To != nil {
			name = r.To(ch.name, a.Event)
		}
		if slices.ContainsFunc(to, func(other *Channel) bool { return other.name == name }) {
			continue
		}
		target, err := l.target(name)
		if err != nil {
			return nil, "", fmt.Errorf("route to channel %q: %w", name, err)
		}
		if target == nil {
			return nil, name, nil
		}
		target.Touch() // not to be deleted for inactivity before the commit
		c := stores.Copy{Channel: target.stored}
		payload := a.Payload
		if r.DataOnly {
			c.Kind, payload = stores.CopyData, a.Event.Data
		}
		if !l.deliverable(name, "", len(payload)+a.Mapping.Growth()) {
			return nil, "", fmt.Errorf("route to channel %q: %w", name, errMessageTooLarge)
		}
		a.Copies = append(a.Copies, c)
		to = append(to, target)
	}
	return to, "", nil
}

// target returns the channel of a copy, nil if it is missing.
func (l *Log) target(name string) (*Channel, error) {
	switch {
	case !ValidChannel(name):
		return nil, errors.New("not a valid channel name")
	case l.o.Events.Of(name) != nil:
		return nil, errors.New("an event channel stores only events published to it")
	}
	return l.channels.find(name)
}

var errMessageTooLarge = fmt.Errorf("message is %w", ErrTooLarge)

// deliverable reports whether NATS can carry a message to a subscriber.
func (l *Log) deliverable(channel, reply string, payload int) bool {
	return int64(len(channel)+len(reply)+payload+deliveryOverhead) <= l.o.MaxPayload()
}
