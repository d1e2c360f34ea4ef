package stores

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats-streaming-server/spb"
)

// State is what a server finds in the database when it takes the lease.
type State struct {
	Server    *spb.ServerInfo // nil: a new database
	Importing *spb.ServerInfo // of another store whose import was begun and not finished; Server is nil then
	Clients   []*spb.ClientInfo
	Channels  []ChannelState // by ascending age: the first created is the first

	// Damaged are rows that can not be read. What depends on them is not in Channels: a channel, a subscription, or what
	// a subscription has not acknowledged, see Subscription.Damaged.
	Damaged []*DamagedError
}

// ChannelState is a channel with its subscriptions.
type ChannelState struct {
	Channel       *Channel
	Subscriptions []Subscription // by ascending ID
	Consumers     []*Consumer    // the groups of these, by ascending ID
}

// Subscription is a subscription as it was saved last.
type Subscription struct {
	State   *spb.SubState // LastSent is the highest sequence known to have been sent
	Unacked []uint64      // ascending: sent, and not acknowledged
	// Damaged, if not nil, says that it is not known what was sent or acknowledged: messages would be lost if the
	// subscription went on.
	Damaged *DamagedError
}

// ServerInfoVersion is the version of the stored formats, NATS Streaming's own.
const ServerInfoVersion = 1

// Recover migrates the schema if it is behind, reads the state of the database, and makes it the store's own. Call it when the lease was taken, and while
// nothing else uses the store; channels known before are not valid any more. It reads a row per channel, client and
// subscription, not the messages.
func (s *Store) Recover(ctx context.Context) (*State, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	// The fence waits for what a predecessor still has in flight, so that nothing is read before its end.
	if err := s.RenewLease(ctx); err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	if err := s.migrateHeld(ctx); err != nil {
		return nil, s.migrationError(ctx, err)
	}
	r := &recovery{
		byID: map[int64]int{}, byName: map[string]int64{}, bySub: map[uint64][2]int{},
		began: map[uint64]uint64{}, sent: map[uint64]uint64{}, consumers: map[uint64]*consumerRows{},
	}
	for _, step := range []struct {
		what string
		text string
		scan func(*sql.Rows) error
	}{
		{"server", s.text.serverInfo, r.server},
		{"clients", s.text.clients, r.client},
		{"highest channel", s.text.maxChannelID, func(rows *sql.Rows) error { return rows.Scan(&r.maxChannel) }},
		{"channels", s.text.channels, r.channel},
		{"highest subscription", s.text.maxSubscriptionID, func(rows *sql.Rows) error { return rows.Scan(&r.maxSub) }},
		{"subscriptions", s.text.subscriptions, r.subscription},
		{"pending messages", s.text.pendings, r.pending},
		{"consumers", s.text.consumers, r.consumer},
		{"pending messages of consumers", s.text.consumersPending, r.consumerPending},
	} {
		if err := s.own.query(ctx, step.text, step.scan); err != nil {
			return nil, s.readError(ctx, fmt.Errorf("recover %s: %w", step.what, err))
		}
	}
	r.finish()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.channelID, s.subID = r.maxChannel, r.maxSub
	s.byName = make(map[string]*Channel, len(r.state.Channels))
	for _, c := range r.state.Channels {
		s.byName[c.Channel.name] = c.Channel
	}
	s.progressed = map[uint64]struct{}{}
	s.heads.clear()
	s.doubt, s.dying = nil, nil
	return &r.state, nil
}

// recovery collects the rows.
type recovery struct {
	state      State
	maxChannel int64
	maxSub     uint64
	byID       map[int64]int // position in state.Channels
	byName     map[string]int64
	bySub      map[uint64][2]int // position in state.Channels, and there in Subscriptions
	acked      map[uint64]map[uint64]struct{}

	// What the rows of a subscription say of its position: its own row as of when it began, resumed or was suspended,
	// and all others, which were written together with what was pending.
	began, sent map[uint64]uint64
	consumers   map[uint64]*consumerRows
}

// damaged notes a row that can not be read.
func (r *recovery) damaged(table, key, reason string) *DamagedError {
	err := &DamagedError{Table: table, Key: key, Reason: reason}
	r.state.Damaged = append(r.state.Damaged, err)
	return err
}

func (r *recovery) server(rows *sql.Rows) error {
	var id string
	var data []byte
	var version int
	if err := rows.Scan(&id, &data, &version); err != nil {
		return err
	}
	if r.state.Server != nil || r.state.Importing != nil {
		return fmt.Errorf("table ServerInfo has several rows: %w", errCorrupt)
	}
	if version != ServerInfoVersion && version != ImportVersion {
		return fmt.Errorf("table ServerInfo: version %d of the stored formats is not %d: %w", version, ServerInfoVersion, errCorrupt)
	}
	info := &spb.ServerInfo{}
	if err := info.Unmarshal(data); err != nil {
		return fmt.Errorf("table ServerInfo: proto is no ServerInfo: %w: %w", errCorrupt, err)
	}
	if info.ClusterID != id {
		return fmt.Errorf("table ServerInfo: server info of cluster %q in the row of %q: %w", info.ClusterID, id, errCorrupt)
	}
	if version == ImportVersion {
		r.state.Importing = info
	} else {
		r.state.Server = info
	}
	return nil
}

func (r *recovery) client(rows *sql.Rows) error {
	var id string
	var inbox sql.NullString
	var data []byte
	if err := rows.Scan(&id, &inbox, &data); err != nil {
		return err
	}
	info := &spb.ClientInfo{ID: id, HbInbox: inbox.String} // all that there was before NATS Streaming 0.10
	if len(data) > 0 {
		if err := info.Unmarshal(data); err != nil || info.ID != id {
			_ = r.damaged("Clients", fmt.Sprintf("id %q", id), "proto is no ClientInfo of it, the client goes on with the columns alone")
			info = &spb.ClientInfo{ID: id, HbInbox: inbox.String}
		}
	}
	r.state.Clients = append(r.state.Clients, info)
	return nil
}

func (r *recovery) channel(rows *sql.Rows) error {
	c := &Channel{}
	err := scanChannel(rows, &c.id, &c.name, &c.info)
	var damaged *DamagedError
	switch other, twice := r.byName[c.name]; {
	case errors.As(err, &damaged):
		r.state.Damaged = append(r.state.Damaged, damaged)
		return nil
	case err != nil:
		return err
	case twice: // only where an administrator dropped the index, or on MySQL
		damaged = r.damaged("Channels", fmt.Sprintf("id %d", c.id), fmt.Sprintf("channel %d has the name %q, too", other, c.name))
		damaged.Channel = c.name
		return nil
	}
	r.byName[c.name] = c.id
	r.byID[c.id] = len(r.state.Channels)
	r.state.Channels = append(r.state.Channels, ChannelState{Channel: c})
	return nil
}

func (r *recovery) subscription(rows *sql.Rows) error {
	var channel int64
	var id uint64
	var lastSent number
	var data []byte
	if err := rows.Scan(&channel, &id, &lastSent, &data); err != nil {
		return err
	}
	at, ok := r.byID[channel]
	if !ok {
		return nil // of a channel that was deleted, or is out of service
	}
	c := &r.state.Channels[at]
	key := fmt.Sprintf("id %d (channel %q), subid %d", channel, c.Channel.name, id)
	var damaged *DamagedError
	if reason := lastSent.problem("lastsent"); reason != "" {
		damaged = r.damaged("Subscriptions", key, reason)
	}
	if data == nil {
		c.Channel.raise(lastSent.n)
		return nil
	}
	state := &spb.SubState{}
	if err := state.Unmarshal(data); err != nil || state.ID != id {
		_ = r.damaged("Subscriptions", key, "proto is no SubState of it")
		return nil
	}
	r.began[id], r.sent[id] = state.LastSent, lastSent.n
	state.LastSent = max(state.LastSent, lastSent.n)
	r.bySub[id] = [2]int{at, len(c.Subscriptions)}
	c.Subscriptions = append(c.Subscriptions, Subscription{State: state, Damaged: damaged})
	return nil
}

// pending takes a row of SubsPending in any of its three forms: one sequence (seq > 0, NATS Streaming without caching),
// lists of sequences sent and acknowledged since the row before (NATS Streaming with caching), or the whole (row 0, ours).
func (r *recovery) pending(rows *sql.Rows) error {
	var id, row uint64
	var seq, lastSent number
	var pending, acks []byte
	if err := rows.Scan(&id, &row, &seq, &lastSent, &pending, &acks); err != nil {
		return err
	}
	at, ok := r.bySub[id]
	if !ok {
		return nil // left over by a subscription that was deleted
	}
	sub := &r.state.Channels[at[0]].Subscriptions[at[1]]
	key := fmt.Sprintf("subid %d, row %d", id, row)
	if reason := cmp.Or(seq.problem("seq"), lastSent.problem("lastsent")); reason != "" {
		sub.Damaged = r.damaged("SubsPending", key, reason)
		return nil
	}
	sub.State.LastSent = max(sub.State.LastSent, lastSent.n, seq.n)
	r.sent[id] = max(r.sent[id], lastSent.n, seq.n)
	if seq.n > 0 {
		sub.Unacked = append(sub.Unacked, seq.n)
		return nil
	}
	sent, err := DecodeSequences(pending)
	acked, ackErr := DecodeSequences(acks)
	if err = errors.Join(err, ackErr); err != nil {
		sub.Damaged = r.damaged("SubsPending", key, "pending or acks is no list of sequences")
		return nil
	}
	sub.Unacked = append(sub.Unacked, sent...)
	for _, seq := range sent {
		r.sent[id] = max(r.sent[id], seq)
	}
	for _, seq := range acked {
		if r.acked == nil {
			r.acked = map[uint64]map[uint64]struct{}{}
		}
		if r.acked[id] == nil {
			r.acked[id] = map[uint64]struct{}{}
		}
		r.acked[id][seq] = struct{}{}
	}
	return nil
}

// finish subtracts acknowledged messages, whatever the order of the rows was, and puts sequences in order. A channel's
// last sequence is not below what a subscriber was sent: a message that expired was the last one at its time.
func (r *recovery) finish() {
	for i := range r.state.Channels {
		c := &r.state.Channels[i]
		for j := range c.Subscriptions {
			sub := &c.Subscriptions[j]
			acked := r.acked[sub.State.ID]
			sub.Unacked = slices.DeleteFunc(sub.Unacked, func(seq uint64) bool {
				_, ok := acked[seq]
				return ok
			})
			slices.Sort(sub.Unacked)
			sub.Unacked = slices.Compact(sub.Unacked)
			if n := len(sub.Unacked); n > 0 {
				sub.State.LastSent = max(sub.State.LastSent, sub.Unacked[n-1])
			}
			c.Channel.raise(sub.State.LastSent)
		}
	}
	r.finishConsumers()
}

func (c *Channel) raise(last uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info.Last = max(c.info.Last, last)
}

// Sequences are a JSON array, as NATS Streaming writes them.
func encodeSequences(sequences []uint64) []byte {
	if len(sequences) == 0 {
		return nil
	}
	text, err := json.Marshal(sequences)
	if err != nil {
		panic(err) // numbers always have a text
	}
	return text
}

// DecodeSequences reads what encodeSequences wrote, or NULL.
func DecodeSequences(text []byte) ([]uint64, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var sequences []uint64
	err := json.Unmarshal(text, &sequences)
	return sequences, err
}

// SetServerInfo saves the identity of the server, which Recover returns. It tries until ctx ends.
func (s *Store) SetServerInfo(ctx context.Context, info *spb.ServerInfo) error {
	return s.putServerInfo(ctx, info, ServerInfoVersion)
}

func (s *Store) putServerInfo(ctx context.Context, info *spb.ServerInfo, version int) error {
	data, err := info.Marshal()
	if err != nil {
		return fmt.Errorf("encode server info: %w", err)
	}
	err = s.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, s.text.putServerInfo, info.ClusterID, data, version)
		return err
	})
	if err != nil {
		return fmt.Errorf("save server info: %w", err)
	}
	return nil
}
