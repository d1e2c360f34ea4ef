package stores

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// States of an erasure, in their order.
const (
	ErasurePending = "pending" // what it erases is being listed; readers see it as it was
	ErasureErased  = "erased"  // everything listed has been replaced, in one transaction
	ErasureDone    = "done"    // streams and readers have been told
)

// Erasure is a row of Erasures.
type Erasure struct {
	ID        uint64
	Requested int64  // ns since 1970
	Principal string // who; empty for an unnamed caller
	Reason    string
	Selector  string // what to erase, for whoever resumes a pending erasure; empty afterwards
	State     string
	Events    uint64 // that were replaced
	Copies    uint64 // of events, on channels of routes
	Erased    int64  // when they were replaced, in ns since 1970; 0 while pending
}

// ErasedMessage is a message of an erasure.
type ErasedMessage struct {
	Channel  *Channel
	Sequence uint64
	Position uint64 // 0 for the copy of an event
	Data     []byte // the encoded pb.MsgProto that replaces it; nil where the list is read
}

// erasing are the texts of erasures that differ between databases.
type erasing struct {
	list, listEnd string // before and after rows (?, ?, ?, ?, ?, ?, ?) of ErasedMessages, which may be there already
	replace       string // (erasure, id, from seq, to seq): replaces listed messages of a channel
}

// Texts that work on every database, once placeholders are its own.
const (
	erasedRow     = "(?, ?, ?, ?, ?, ?, ?)"
	erasedListed  = "SELECT id, seq, position FROM ErasedMessages WHERE erasure = ? ORDER BY id, seq"
	erasedTags    = "SELECT m.position, m.tags FROM ErasedMessages AS e JOIN Messages AS m ON m.id = e.id AND m.seq = e.seq WHERE e.erasure = ? AND m.tags IS NOT NULL"
	erasedTag     = "(tag = ? AND position = ?)"
	dropErasedTag = "DELETE FROM EventTags WHERE "
	shrinkChannel = "UPDATE Channels SET bytes = bytes - (SELECT COALESCE(SUM(m.size - e.size), 0) FROM ErasedMessages AS e JOIN Messages AS m ON m.id = e.id AND m.seq = e.seq WHERE e.erasure = ? AND e.id = ?) WHERE id = ?"
	contentsOf    = "SELECT seq, data, chain FROM Messages WHERE id = ? AND chain IS NOT NULL AND seq IN ("
	chainedSince  = "SELECT e.id, e.seq, e.position, e.data, m.data, m.chain FROM ErasedMessages AS e JOIN Messages AS m ON m.id = e.id AND m.seq = e.seq WHERE e.erasure = ? AND e.chain IS NULL AND m.chain IS NOT NULL"
	dropListed    = "DELETE FROM ErasedMessages WHERE erasure = ? AND id = ? AND seq = ?"
	parkedPlaces  = "SELECT p.consumer, p.seq, n.channel FROM Parked AS p JOIN NamedConsumers AS n ON n.consumer = p.consumer"
	blankParked   = "UPDATE Parked SET reason = '', ordering_key = CASE WHEN ordering_key = (SELECT m.aggregate_id FROM Messages AS m WHERE m.id = ? AND m.seq = ?) THEN ordering_key ELSE '' END WHERE consumer = ? AND seq = ?"
	insertErased  = "INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, position, erased, appender, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

const (
	// erasedChunk bounds the rows of a statement that lists or replaces messages.
	erasedChunk = 200
	// replacedChunk bounds the rows that one statement replaces, so that none takes its whole deadline.
	replacedChunk = 2000
	// droppedTags bounds the tags of a statement.
	droppedTags = 100
)

// eraser is a dialect that must prepare an erasure, or whose files must be cleaned after it.
type eraser interface {
	beforeErase(ctx context.Context, t *transaction) error
	// emptyLog removes what the database's log has of before.
	emptyLog(ctx context.Context, db *sql.DB) error
}

// errBusyLog means that a reader keeps SQLite's log from being emptied.
var errBusyLog = errors.New("a reader uses the write-ahead log")

// NewErasureID returns an ID for a new Erasure.
func (s *Store) NewErasureID() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erasureID++
	return s.erasureID
}

// BeginErasure records a pending erasure, and the act of the administrator. It retries until ctx ends.
func (s *Store) BeginErasure(ctx context.Context, e Erasure, act AuditEntry) error {
	err := s.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, s.text.putErasure, e.ID, e.Requested, storableText(e.Principal, maxAuditText), storableText(e.Reason, maxAuditText), e.Selector, ErasurePending)
		if err != nil {
			return err
		}
		return s.saveAudit(ctx, t, []AuditEntry{act})
	})
	if err != nil {
		return fmt.Errorf("record erasure %d: %w", e.ID, err)
	}
	return nil
}

// ListErased lists messages that a pending erasure is to replace. It retries until ctx ends, and a message may be listed again.
func (s *Store) ListErased(ctx context.Context, erasure uint64, messages []ErasedMessage) error {
	texts := s.dialect.erasing()
	for part := range slices.Chunk(messages, erasedChunk) {
		err := s.write(ctx, func(t *transaction) error {
			links, err := s.erasedLinks(ctx, t, part)
			if err != nil {
				return err
			}
			args := make([]any, 0, 7*len(part))
			for i, m := range part {
				args = append(args, erasure, m.Channel.id, m.Sequence, nullNumber(m.Position), len(m.Data), m.Data, nullBytes(links[i]))
			}
			_, err = t.exec(ctx, s.placed(texts.list+repeat(erasedRow, ", ", len(part))+texts.listEnd), args...)
			return err
		})
		if err != nil {
			return fmt.Errorf("list messages of erasure %d: %w", erasure, err)
		}
	}
	return nil
}

// erasedLinks returns the links that messages have once they are erased; nil for those that are not in the chain.
func (s *Store) erasedLinks(ctx context.Context, t *transaction, messages []ErasedMessage) ([]chain.Link, error) {
	links := make([]chain.Link, len(messages))
	for from := 0; from < len(messages); {
		id, to := messages[from].Channel.id, from
		args, at := []any{id}, map[uint64]int{}
		for ; to < len(messages) && messages[to].Channel.id == id; to++ {
			args, at[messages[to].Sequence] = append(args, messages[to].Sequence), to
		}
		text := s.placed(contentsOf + repeat("?", ", ", to-from) + ")")
		from = to
		err := t.query(ctx, text, func(rows *sql.Rows) error {
			var seq uint64
			link, err := scanLink(rows, &seq)
			if err == nil {
				links[at[seq]] = link
			}
			return err
		}, args...)
		if err != nil {
			return nil, err
		}
	}
	return links, nil
}

// scanLink returns the link that an event has once it is erased. before are the columns before its data and chain.
func scanLink(rows *sql.Rows, before ...any) (chain.Link, error) {
	var data []byte
	var link chain.Link
	if err := rows.Scan(append(before, &data, (*[]byte)(&link))...); err != nil {
		return nil, err
	}
	return link.Erase(chain.NewHasher(), data), nil
}

// listChained lists messages anew that entered the chain after they were listed: a server has taken over in between.
func (s *Store) listChained(ctx context.Context, t *transaction, erasure uint64) error {
	type since struct {
		id            int64
		seq, position uint64
		data          []byte
		link          chain.Link
	}
	var all []since
	err := t.query(ctx, s.placed(chainedSince), func(rows *sql.Rows) (err error) {
		var m since
		m.link, err = scanLink(rows, &m.id, &m.seq, (*eventNumber)(&m.position), &m.data)
		all = append(all, m)
		return err
	}, erasure)
	if err != nil {
		return err
	}
	texts := s.dialect.erasing()
	for _, m := range all {
		if _, err := t.exec(ctx, s.placed(dropListed), erasure, m.id, m.seq); err != nil {
			return err
		}
		if _, err := t.exec(ctx, s.placed(texts.list+erasedRow+texts.listEnd), erasure, m.id, m.seq, nullNumber(m.position), len(m.data), m.data, nullBytes(m.link)); err != nil {
			return err
		}
	}
	return nil
}

// Erase replaces the listed messages of a pending erasure, in one transaction: nobody sees some of them replaced and others not. at is
// the time of it, in ns since 1970. Erase retries until ctx ends, and can be called again.
//
// Only the goroutine that calls Append may call Erase.
func (s *Store) Erase(ctx context.Context, erasure uint64, at int64) error {
	if err := s.resolveUnknown(ctx); err != nil {
		return fmt.Errorf("erasure %d: %w", erasure, err)
	}
	var changed []*Channel
	err := s.write(ctx, func(t *transaction) (err error) {
		changed, err = s.replace(ctx, t, erasure, at)
		return err
	})
	if err != nil {
		return fmt.Errorf("erasure %d: %w", erasure, err)
	}
	s.recent = nil // it has tags and metadata
	s.recentFrom.Store(0)
	return s.retryRead(ctx, func() error { return s.reload(ctx, s.own, changed) })
}

// EmptyLog removes what Erase has replaced from the log of a database in a file. A reader can be in the way: then the error says so, and
// EmptyLog can be called again. Other databases overwrite their logs by themselves.
//
// Only the goroutine that calls Append may call EmptyLog.
func (s *Store) EmptyLog(ctx context.Context) error {
	if e, ok := s.dialect.(eraser); ok {
		if err := e.emptyLog(ctx, s.writer); err != nil {
			return fmt.Errorf("empty the log of the database: %w", err)
		}
	}
	return nil
}

// replace is the transaction of Erase.
func (s *Store) replace(ctx context.Context, t *transaction, erasure uint64, at int64) ([]*Channel, error) {
	if e, ok := s.dialect.(eraser); ok {
		if err := e.beforeErase(ctx, t); err != nil {
			return nil, err
		}
	}
	listed, err := s.listed(ctx, t, erasure)
	if err != nil {
		return nil, err
	}
	byID := map[int64]*listedChannel{}
	var order []*listedChannel
	events, copies := 0, 0
	for _, m := range listed {
		ch := byID[m.channel]
		if ch == nil {
			ch = &listedChannel{id: m.channel}
			byID[m.channel], order = ch, append(order, ch)
		}
		ch.sequences = append(ch.sequences, m.sequence)
		if m.position > 0 {
			events++
		} else {
			copies++
		}
	}
	pending := false
	if err := t.query(ctx, s.text.erasureState, func(rows *sql.Rows) error {
		var state string
		err := rows.Scan(&state)
		pending = state == ErasurePending
		return err
	}, erasure); err != nil {
		return nil, err
	}
	channels := s.channelsOf(order)
	if !pending { // an attempt with an unknown outcome was committed
		return channels, nil
	}
	if err := s.listChained(ctx, t, erasure); err != nil {
		return nil, err
	}
	if err := s.blankParked(ctx, t, listed); err != nil {
		return nil, err
	}
	if err := s.dropTags(ctx, t, erasure); err != nil {
		return nil, err
	}
	replace := s.dialect.erasing().replace
	for _, ch := range order {
		if _, err := t.exec(ctx, s.placed(shrinkChannel), erasure, ch.id, ch.id); err != nil {
			return nil, err
		}
		for part := range slices.Chunk(ch.sequences, replacedChunk) {
			if _, err := t.exec(ctx, replace, erasure, ch.id, part[0], part[len(part)-1]); err != nil {
				return nil, err
			}
		}
	}
	_, err = t.exec(ctx, s.text.endErasure, ErasureErased, events, copies, at, erasure)
	return channels, err
}

// listedChannel are the listed messages of a channel, in order.
type listedChannel struct {
	id        int64
	sequences []uint64
}

// listedMessage is a row of ErasedMessages.
type listedMessage struct {
	channel            int64
	sequence, position uint64
}

func (s *Store) listed(ctx context.Context, q querier, erasure uint64) (all []listedMessage, err error) {
	err = q.query(ctx, s.placed(erasedListed), func(rows *sql.Rows) error {
		var m listedMessage
		if err := rows.Scan(&m.channel, &m.sequence, (*eventNumber)(&m.position)); err != nil {
			return err
		}
		all = append(all, m)
		return nil
	}, erasure)
	return all, err
}

func (s *Store) channelsOf(listed []*listedChannel) []*Channel {
	byID := s.channelsByID()
	var all []*Channel
	for _, l := range listed {
		if c := byID[l.id]; c != nil {
			all = append(all, c)
		}
	}
	return all
}

// dropTags deletes the rows of the tags of listed events.
func (s *Store) dropTags(ctx context.Context, t *transaction, erasure uint64) error {
	var args []any
	err := t.query(ctx, s.placed(erasedTags), func(rows *sql.Rows) error {
		var position uint64
		var text []byte
		if err := rows.Scan(&position, &text); err != nil {
			return err
		}
		var tags []string
		if err := json.Unmarshal(text, &tags); err != nil {
			return fmt.Errorf("the tags at position %d: %w: %w", position, errCorrupt, err)
		}
		for _, tag := range tags {
			args = append(args, tag, position)
		}
		return nil
	}, erasure)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(args, 2*droppedTags) {
		if _, err := t.exec(ctx, s.placed(dropErasedTag+repeat(erasedTag, " OR ", len(part)/2)), part...); err != nil {
			return err
		}
	}
	return nil
}

// blankParked removes the reasons of parked messages that are listed, which consumers wrote, and the ordering keys that are tags.
func (s *Store) blankParked(ctx context.Context, t *transaction, listed []listedMessage) error {
	byID := s.channelsByID()
	places := map[any]listedMessage{} // by position, and by channel and sequence
	type place struct {
		channel  string
		sequence uint64
	}
	for _, m := range listed {
		if m.position > 0 {
			places[m.position] = m
		}
		if c := byID[m.channel]; c != nil {
			places[place{c.name, m.sequence}] = m
		}
	}
	type parked struct {
		consumer, seq uint64
		message       listedMessage
	}
	var found []parked
	err := t.query(ctx, parkedPlaces, func(rows *sql.Rows) error {
		p := parked{}
		var line string
		if err := rows.Scan(&p.consumer, &p.seq, &line); err != nil {
			return err
		}
		m, ok := places[place{line, p.seq}]
		if !ok && strings.ContainsAny(line, "*>") {
			m, ok = places[p.seq]
		}
		if p.message = m; ok {
			found = append(found, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range found {
		if _, err := t.exec(ctx, s.placed(blankParked), p.message.channel, p.message.sequence, p.consumer, p.seq); err != nil {
			return err
		}
	}
	return nil
}

// Listed returns the messages of an erasure that is not done, by channel and sequence. It retries until ctx ends.
func (s *Store) Listed(ctx context.Context, erasure uint64) ([]ErasedMessage, error) {
	var listed []listedMessage
	err := s.retryRead(ctx, func() (err error) {
		listed, err = s.listed(ctx, s.own, erasure)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the messages of erasure %d: %w", erasure, err)
	}
	byID := s.channelsByID()
	var all []ErasedMessage
	for _, m := range listed {
		if c := byID[m.channel]; c != nil {
			all = append(all, ErasedMessage{Channel: c, Sequence: m.sequence, Position: m.position})
		}
	}
	return all, nil
}

// FinishErasure records that everybody has been told of an erasure, and drops its list. It retries until ctx ends.
func (s *Store) FinishErasure(ctx context.Context, erasure uint64) error {
	err := s.write(ctx, func(t *transaction) error {
		if _, err := t.exec(ctx, s.text.dropErased, erasure); err != nil {
			return err
		}
		_, err := t.exec(ctx, s.text.finishErasure, ErasureDone, erasure, ErasureErased)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish erasure %d: %w", erasure, err)
	}
	return nil
}

// Erasures returns erasures with lower IDs than before, the newest first; 0 is beyond all.
//
// The error is ErrUnavailable. Erasures does not retry.
func (s *Store) Erasures(ctx context.Context, before uint64, limit int) ([]Erasure, error) {
	if before == 0 || before > math.MaxInt64 {
		before = math.MaxInt64
	}
	return s.readErasures(ctx, s.text.erasures, before, limit)
}

// OpenErasures returns the erasures that are not done, by ID.
//
// The error is ErrUnavailable. OpenErasures does not retry.
func (s *Store) OpenErasures(ctx context.Context) ([]Erasure, error) {
	return s.readErasures(ctx, s.text.openErasures)
}

func (s *Store) readErasures(ctx context.Context, text string, args ...any) ([]Erasure, error) {
	var all []Erasure
	err := s.reader.query(ctx, text, func(rows *sql.Rows) error {
		var e Erasure
		if err := rows.Scan(&e.ID, &e.Requested, &e.Principal, &e.Reason, &e.Selector, &e.State, &e.Events, &e.Copies, &e.Erased); err != nil {
			return err
		}
		all = append(all, e)
		return nil
	}, args...)
	if err != nil {
		return nil, fmt.Errorf("read the erasures: %w", s.readError(ctx, err))
	}
	return all, nil
}

// splitErased returns the rows that are as they were published, and the others.
func splitErased(rows []*row) (whole, tombstones []*row) {
	for _, r := range rows {
		if r.erased > 0 {
			tombstones = append(tombstones, r)
		} else {
			whole = append(whole, r)
		}
	}
	return whole, tombstones
}

// restoreErased stores tombstones of another database.
func (s *Store) restoreErased(ctx context.Context, t *transaction, rows []*row) error {
	for _, r := range rows {
		event, position := r.event, any(nil)
		args := []any{r.channel.id, r.sequence, r.timestamp, len(r.data), r.data}
		if event == nil { // of a copy
			args = append(args, nil, nil, nil, nil, nil)
		} else {
			args, position = append(args, nullText(event.ID), event.AggregateType, event.AggregateID, r.version, event.Type), r.position
		}
		if _, err := t.exec(ctx, s.placed(insertErased), append(args, position, r.erased, nullNumber(r.appender), nullBytes(r.link))...); err != nil {
			return err
		}
	}
	return nil
}
