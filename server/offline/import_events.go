package offline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// ImportedEvent is an event that another store has recorded.
type ImportedEvent struct {
	Channel    string
	Sequence   uint64 // 0 for the next one of the channel
	Version    uint64 // in the aggregate; 0 for the next one
	RecordedAt time.Time
	Payload    []byte // it need not have the version
}

// EventImport imports events into a database.
type EventImport struct {
	target   *database
	events   eventlog.Events
	versions map[versionOf]uint64
	position uint64
	begun    map[string]uint64 // by channel: the last sequence of an earlier run
	last     int64             // time of the last event
	seen     map[string]uint64 // by channel: events without a sequence that were seen in this run
}

type versionOf struct{ channel, typ, id string }

// ImportEvents calls run, which imports events into a database without a server. The database must be empty, or hold an interrupted
// import of the same events, which are then passed over. No server starts on it before the import is complete.
func ImportEvents(ctx context.Context, o config.Options, run func(context.Context, *EventImport) error) (err error) {
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		return err
	}
	m := &EventImport{events: events, versions: map[versionOf]uint64{}, begun: map[string]uint64{}, seen: map[string]uint64{}}
	if m.target, err = openDatabase(ctx, o.Store); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.target.close(ctx)) }()
	info := &spb.ServerInfo{ClusterID: o.ClusterID} // servers know the rest
	state := m.target.state
	switch {
	case state.Moved != nil, state.Importing == nil && (state.Server != nil || len(state.Clients) > 0 || len(state.Channels) > 0):
		return errors.New("the database is not empty: import into an empty one, or through a server, with --url")
	case state.Importing == nil:
		if err := m.target.store.BeginImport(ctx, info); err != nil {
			return err
		}
	case state.Importing.ClusterID != o.ClusterID:
		return fmt.Errorf("the database holds part of another import, with the cluster ID %q: import into an empty one", state.Importing.ClusterID)
	}
	for _, c := range state.Channels {
		m.begun[c.Channel.Name()] = m.target.store.Copied(c.Channel)
	}
	if err := run(ctx, m); err != nil {
		return err
	}
	if err := m.target.store.ApplyIndexes(ctx); err != nil {
		return fmt.Errorf("event data indexes: %w", err)
	}
	if err := m.target.store.ChainImported(ctx); err != nil {
		return err
	}
	return m.target.store.FinishCopy(ctx, info, m.position)
}

// Check returns an error if a payload is not an event of a channel.
func (m *EventImport) Check(channel string, payload []byte) error {
	block := m.events.Of(channel)
	if block == nil || !eventlog.ValidChannel(channel) {
		return fmt.Errorf("%q is not an event channel: name its pattern with --event-channels", channel)
	}
	_, err := block.Mapping.ExtractNew(payload)
	return err
}

// Append stores events. Their positions are in their order. Each channel is a transaction.
func (m *EventImport) Append(ctx context.Context, events []ImportedEvent) error {
	type rowsOf struct {
		*stores.Channel
		rows []stores.CopiedRow
		last uint64
	}
	var all []*rowsOf
	by := map[string]*rowsOf{}
	for i := range events {
		e := &events[i]
		of := by[e.Channel]
		if of == nil {
			c, err := m.target.store.CreateChannel(ctx, e.Channel)
			if err != nil {
				return err
			}
			of = &rowsOf{Channel: c, last: m.target.store.Copied(c)}
			all, by[e.Channel] = append(all, of), of
		}
		row, err := m.row(e, &of.last)
		if err != nil {
			return err
		}
		if row != nil {
			of.rows = append(of.rows, *row)
		}
	}
	for _, of := range all {
		if len(of.rows) == 0 {
			continue
		}
		if err := m.target.store.CopyRows(ctx, of.Channel, of.rows, of.last); err != nil {
			return err
		}
	}
	return nil
}

// row returns the row of an event, nil if an earlier run has stored it.
func (m *EventImport) row(e *ImportedEvent, last *uint64) (*stores.CopiedRow, error) {
	channel := e.Channel
	block := m.events.Of(channel)
	if block == nil {
		return nil, fmt.Errorf("%q is not an event channel", channel)
	}
	at := e.RecordedAt.UnixNano()
	if e.RecordedAt.IsZero() {
		at = time.Now().UnixNano()
	}
	m.last = max(m.last, at)
	m.position++
	m.seen[channel]++
	sequence := e.Sequence
	if sequence == 0 {
		sequence = max(*last+1, m.seen[channel])
		if m.seen[channel] <= m.begun[channel] {
			sequence = m.seen[channel]
		}
	}
	ev, err := block.Mapping.Extract(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("channel %q, sequence %d: %w", channel, sequence, err)
	}
	key := versionOf{channel, ev.AggregateType, ev.AggregateID}
	version := e.Version
	if version == 0 {
		version = m.versions[key] + 1
	}
	m.versions[key] = max(m.versions[key], version)
	if sequence <= m.begun[channel] {
		return nil, nil
	}
	if sequence <= *last {
		return nil, fmt.Errorf("channel %q: sequence %d follows %d: events must be in the order of their sequences, and there once", channel, sequence, *last)
	}
	*last = sequence
	payload, assigned := e.Payload, &ev
	if ev.Version == 0 {
		payload, assigned = block.Mapping.Assign(e.Payload, &ev, version)
	}
	data, err := (&pb.MsgProto{Sequence: sequence, Subject: channel, Data: payload, Timestamp: m.last}).Marshal()
	if err != nil {
		return nil, err
	}
	return &stores.CopiedRow{
		Sequence: sequence, Timestamp: m.last, Data: data, Event: assigned, Version: version, Position: m.position,
		Document: assigned.Document(m.target.store.JSONDepth()),
	}, nil
}
