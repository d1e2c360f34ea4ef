package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// ParkedEvent is an event that a projection could not apply, and that OnError had parked.
type ParkedEvent struct {
	Place    uint64    // sequence, or position with SourceAll
	ParkedAt time.Time // by the database's clock
	Reason   string    // the error
	Event    *Event    // not decoded
}

// park stores an event in the transaction that passes it.
func (p *Projector) park(ctx context.Context, tx *sql.Tx, name string, place uint64, event *Event, reason error) error {
	data, err := protojson.Marshal(event.recorded())
	if err == nil {
		_, err = tx.ExecContext(ctx, p.Dialect.projectionTexts().park, name, place, event.Key(), event.Type, printable(reason.Error()), string(data))
	}
	if err != nil {
		return fmt.Errorf("park %s, sequence %d of channel %q (%w): %w", event.Type, event.Sequence, event.Channel, reason, err)
	}
	return nil
}

// printable returns a text that any database can hold.
func printable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
}

// recorded is the reverse of FromRecorded.
func (e *Event) recorded() *eventstorev1.RecordedEvent {
	message := &eventstorev1.Event{
		EventId: e.ID, EventType: e.Type, AggregateType: e.AggregateType, AggregateId: e.AggregateID, EventVersion: e.Version,
		EventData: e.Payload, ContentType: e.ContentType, Metadata: e.Metadata, Tags: e.Tags,
	}
	if !e.OccurredAt.IsZero() {
		message.OccurredAt = timestamppb.New(e.OccurredAt)
	}
	return &eventstorev1.RecordedEvent{Event: message, Channel: e.Channel, Sequence: e.Sequence, Position: e.Position, RecordedAt: timestamppb.New(e.RecordedAt)}
}

// Parked returns the parked events of the live generation, by place.
func (p *Projector) Parked(ctx context.Context) ([]ParkedEvent, error) {
	_, parked, err := p.parked(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the parked events of projection %q: %w", p.Name, err)
	}
	return parked, nil
}

func (p *Projector) parked(ctx context.Context) (g generations, parked []ParkedEvent, err error) {
	if err := p.createTables(ctx); err != nil {
		return g, nil, err
	}
	if g, err = p.generations(ctx); err != nil {
		return g, nil, err
	}
	rows, err := p.DB.QueryContext(ctx, p.Dialect.projectionTexts().parked, checkpointName(p.Name, g.live))
	if err != nil {
		return g, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var it ParkedEvent
		var key, kind, data string
		var at int64
		if err := rows.Scan(&it.Place, &key, &kind, &it.Reason, &at, &data); err != nil {
			return g, nil, err
		}
		message := &eventstorev1.RecordedEvent{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(data), message); err != nil {
			return g, nil, fmt.Errorf("decode %s of eventstore_parked: %w", key, err)
		}
		it.Event, it.ParkedAt = FromRecorded(message), time.UnixMicro(at).UTC()
		parked = append(parked, it)
	}
	return g, parked, rows.Err()
}

// ReplayParked applies the parked events of the live generation in their order, each in a transaction of its own, and removes those that
// succeed. It returns their number. An event that fails stays parked with its new error, and the next ones are tried all the same; the
// result tells each error. The projector may be running: what it has applied since is not undone, so Apply must be able to take an event
// later than those that followed it.
func (p *Projector) ReplayParked(ctx context.Context) (replayed int, err error) {
	g, parked, err := p.parked(ctx)
	if err != nil {
		return 0, fmt.Errorf("replay the parked events of projection %q: %w", p.Name, err)
	}
	name, texts := checkpointName(p.Name, g.live), p.Dialect.projectionTexts()
	var failed []error
	for _, it := range parked {
		removed := false
		err := p.inTx(withGeneration(ctx, g.live), func(ctx context.Context, tx *sql.Tx) error {
			var err error
			if removed, err = unpark(ctx, tx, texts, name, it.Place); err != nil || !removed { // somebody else has replayed it
				return err
			}
			_, err = p.applyEvent(ctx, tx, it.Event)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return replayed, fmt.Errorf("replay the parked events of projection %q: %w", p.Name, context.Cause(ctx))
		case err != nil:
			failed = append(failed, fmt.Errorf("replay %s, parked at %d by projection %q: %w", it.Event.Type, it.Place, p.Name, err))
			if _, err := p.DB.ExecContext(ctx, texts.parkedMessage, printable(err.Error()), name, it.Place); err != nil {
				failed = append(failed, err)
			}
		case removed:
			replayed++
		}
	}
	return replayed, errors.Join(failed...)
}

func unpark(ctx context.Context, on executor, texts *projectionTexts, name string, place uint64) (bool, error) {
	result, err := on.ExecContext(ctx, texts.unpark, name, place)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// DiscardParked removes the parked event at a place of the live generation, and reports whether there was one.
func (p *Projector) DiscardParked(ctx context.Context, place uint64) (bool, error) {
	err := p.createTables(ctx)
	var g generations
	if err == nil {
		g, err = p.generations(ctx)
	}
	found := false
	if err == nil {
		found, err = unpark(ctx, p.DB, p.Dialect.projectionTexts(), checkpointName(p.Name, g.live), place)
	}
	if err != nil {
		return false, fmt.Errorf("discard the event parked at %d by projection %q: %w", place, p.Name, err)
	}
	return found, nil
}
