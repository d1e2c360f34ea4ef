package stores

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// SourceChannel is a channel of a snapshot that is copied.
type SourceChannel struct {
	ID    int64
	Name  string
	Last  uint64 // highest sequence assigned
	Msgs  uint64
	Bytes uint64
}

// StoredRow is a row of Messages as a snapshot has it.
type StoredRow struct {
	Sequence  uint64
	Timestamp int64
	Data      []byte     // encoded pb.MsgProto
	Appender  uint64     // ID of who appended it; 0 for NULL
	Link      chain.Link // in the chain; nil for NULL
	// The fields below are those of an event; Type is empty if the message is not one.
	ID, AggregateType, AggregateID, Type string
	Version, Position                    uint64
	Erased                               uint64 // the erasure that replaced the message; 0 if it is as it was published
	Document, Metadata                   []byte // JSON, in the words of that database; nil for NULL
	Tags                                 []string
}

// These texts work on every database, once placeholders are its own.
const (
	sourceChannels = "SELECT id, name, maxseq, msgs, bytes FROM Channels WHERE deleted = FALSE ORDER BY id"
	sourceFirst    = "SELECT MIN(seq) FROM Messages WHERE id = ?"
	sourceRows     = "SELECT seq, timestamp, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, erased, appender, chain FROM Messages WHERE id = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?"
)

var (
	postgresSourceFirst = numbered(sourceFirst)
	postgresSourceRows  = numbered(sourceRows)
)

// Server returns the identity of the server, nil in a new database. moved reports whether the store was moved away, importing whether
// the snapshot is of an unfinished import.
func (s *Snapshot) Server(ctx context.Context) (info *spb.ServerInfo, moved, importing bool, err error) {
	var r recovery
	if err := s.Query(ctx, "SELECT id, proto, version FROM ServerInfo WHERE uniquerow = 1", r.server); err != nil {
		return nil, false, false, err
	}
	switch state := &r.state; {
	case state.Moved != nil:
		return state.Moved, true, false, nil
	case state.Importing != nil:
		return state.Importing, false, true, nil
	}
	return r.state.Server, false, false, nil
}

// Channels returns the channels, by ID.
func (s *Snapshot) Channels(ctx context.Context) (all []SourceChannel, err error) {
	err = s.Query(ctx, sourceChannels, func(rows *sql.Rows) error {
		var c SourceChannel
		var last, msgs, bytes sql.NullInt64
		if err := rows.Scan(&c.ID, &c.Name, &last, &msgs, &bytes); err != nil {
			return err
		}
		if min(last.Int64, msgs.Int64, bytes.Int64) < 0 {
			return fmt.Errorf("channel %q (id %d) has negative counters: %w", c.Name, c.ID, errCorrupt)
		}
		c.Last, c.Msgs, c.Bytes = uint64(last.Int64), uint64(msgs.Int64), uint64(bytes.Int64)
		all = append(all, c)
		return nil
	})
	return all, err
}

// First returns the sequence of the first message of a channel, 0 if it has none.
func (s *Snapshot) First(ctx context.Context, channel int64) (first uint64, err error) {
	text := sourceFirst
	if s.Driver == "postgres" {
		text = postgresSourceFirst
	}
	err = s.Query(ctx, text, func(rows *sql.Rows) error {
		var seq sql.NullInt64
		err := rows.Scan(&seq)
		first = uint64(max(seq.Int64, 0))
		return err
	}, channel)
	return first, err
}

// LastPosition returns the last position that was given, and whether all events have one: a server of an older version gives none.
func (s *Snapshot) LastPosition(ctx context.Context) (last uint64, all bool, err error) {
	err = s.Query(ctx, "SELECT position FROM StoreLock", func(rows *sql.Rows) error {
		var given sql.NullInt64
		err := rows.Scan(&given)
		last, all = uint64(max(given.Int64, 0)), given.Valid
		return err
	})
	return last, all, err
}

// Rows returns messages of a channel with sequences from "from" to "to", in order: at most limit, and at most maxBytes unless the first
// one is larger.
func (s *Snapshot) Rows(ctx context.Context, channel int64, from, to uint64, limit, maxBytes int) ([]StoredRow, error) {
	text := sourceRows
	if s.Driver == "postgres" {
		text = postgresSourceRows
	}
	all := make([]StoredRow, 0, limit)
	size := 0
	err := s.Query(ctx, text, func(rows *sql.Rows) error {
		var r StoredRow
		var id, aggregateType, aggregateID, typ sql.NullString
		var version, position, appender sql.NullInt64
		var tags sql.RawBytes
		if err := rows.Scan(&r.Sequence, &r.Timestamp, &r.Data, &id, &aggregateType, &aggregateID, &version, &typ, &r.Document, &r.Metadata, &position, &tags, (*eventNumber)(&r.Erased), &appender, (*[]byte)(&r.Link)); err != nil {
			return err
		}
		if size += len(r.Data) + len(r.Document); size > maxBytes && len(all) > 0 {
			return errStop
		}
		r.Appender = uint64(max(appender.Int64, 0))
		if typ.Valid {
			r.ID, r.AggregateType, r.AggregateID, r.Type = id.String, aggregateType.String, aggregateID.String, typ.String
			r.Version, r.Position = uint64(max(version.Int64, 0)), uint64(max(position.Int64, 0))
			if tags != nil {
				if err := json.Unmarshal(tags, &r.Tags); err != nil {
					return fmt.Errorf("the column tags of sequence %d of channel %d: %w: %w", r.Sequence, channel, errCorrupt, err)
				}
			}
		}
		all = append(all, r)
		return nil
	}, channel, from, to, limit)
	return all, err
}
