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
	Server    *spb.ServerInfo // nil for a new database
	Importing *spb.ServerInfo // of another store, whose import began and did not finish; Server is then nil
	Moved     *spb.ServerInfo // of a store that now lives in another database; Server is then nil
	Clients   []*spb.ClientInfo
	Channels  []ChannelState // in the order of their creation
	// Wildcards are the groups of subscriptions to patterns of channels, by ascending ID.
	Wildcards []WildcardState
	// Named are the consumers with settings or parked messages, by ascending ID.
	Named     []NamedState
	Cancelled []CancelledDelivery

	// Damaged are the rows that cannot be read. Channels omits what depends on them: a channel, a subscription, or what
	// a subscription has not acknowledged (see Subscription.Damaged).
	Damaged []*DamagedError
}

// ChannelState is a channel with its subscriptions.
type ChannelState struct {
	Channel       *Channel
	Subscriptions []Subscription // by ascending ID
	Consumers     []*Consumer    // the groups of Subscriptions, by ascending ID
}

// WildcardState is a group of subscriptions to all channels that match a pattern.
type WildcardState struct {
	Pattern  string
	Consumer *Consumer
}

// Subscription is a subscription as it was last saved.
type Subscription struct {
	State   *spb.SubState // LastSent is the highest sequence known to have been sent
	Unacked []uint64      // sent and not acknowledged, ascending
	// Damaged, if not nil, says that the subscription's progress is unknown. It would lose messages if it continued.
	Damaged *DamagedError
}

// ServerInfoVersion is the version of the stored formats, NATS Streaming's own.
const ServerInfoVersion = 1

// Recover migrates an outdated schema, reads the state of the database and makes it the store's own. Call it after
// taking the lease, while nothing else uses the store; channels from before are no longer valid. It reads one row per
// channel, client and subscription, but not the messages.
func (s *Store) Recover(ctx context.Context) (*State, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	// The fence waits for what a predecessor still has in flight, so that nothing is read before that ends.
	if err := s.RenewLease(ctx); err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	if err := s.migrateHeld(ctx); err != nil {
		return nil, s.migrationError(ctx, err)
	}
	r, err := s.readState(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.nameSubscriptions(ctx, r.unnamed); err != nil {
		return nil, s.readError(ctx, fmt.Errorf("recover names of subscriptions: %w", err))
	}
	last, err := s.number(ctx, r.state.Channels)
	if err != nil {
		return nil, s.readError(ctx, fmt.Errorf("recover the order of events: %w", err))
	}
	if err := s.chainOld(ctx, r.names(), &last); err != nil {
		return nil, s.readError(ctx, fmt.Errorf("recover the chain of events: %w", err))
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.channelID, s.subID, s.auditID, s.erasureID, s.last = r.maxChannel, r.maxSub, r.maxAudit, r.maxErasure, last
	s.byName = make(map[string]*Channel, len(r.state.Channels))
	for _, c := range r.state.Channels {
		s.byName[c.Channel.name] = c.Channel
	}
	s.progressed = map[uint64]struct{}{}
	s.heads.clear()
	s.appenders.lru.Purge()
	s.recent = nil
	s.recentFrom.Store(0)
	s.unresolved, s.maybeDeleted = nil, nil
	return &r.state, nil
}

// State reads what a server would find if it took the lease now, and changes nothing. A server that leads writes meanwhile, so that a
// position may be older than what is known to be unacknowledged, but never newer.
func (f *Follower) State(ctx context.Context) (*State, error) {
	r, err := f.Store.readState(ctx)
	if err != nil {
		return nil, err
	}
	return &r.state, nil
}

// readState reads the rows that describe the state.
func (s *Store) readState(ctx context.Context) (*recovery, error) {
	r := &recovery{
		byID: map[int64]int{}, byName: map[string]int64{}, bySub: map[uint64][2]int{},
		began: map[uint64]uint64{}, sent: map[uint64]uint64{}, consumers: map[uint64]*consumerRows{}, homeless: map[uint64]*Subscription{},
		namedID: map[ConsumerName]uint64{}, namedAt: map[uint64]int{}, orphans: map[string]int{},
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
		{"patterns of consumers", s.text.wildcards, r.wildcard},
		{"pending messages of consumers", s.text.consumersPending, r.consumerPending},
		{"redeliveries", s.text.redelivered, r.redelivered},
		{"named consumers", s.text.named, r.named},
		{"parked messages", s.text.parkedKeys, r.parkedKey},
		{"cancelled deliveries", s.text.cancelled, r.cancelled},
		{"highest entry of the audit", s.text.maxAuditID, func(rows *sql.Rows) error { return rows.Scan(&r.maxAudit) }},
		{"highest erasure", s.text.maxErasureID, func(rows *sql.Rows) error { return rows.Scan(&r.maxErasure) }},
	} {
		if err := s.own.query(ctx, step.text, step.scan); err != nil {
			return nil, s.readError(ctx, fmt.Errorf("recover %s: %w", step.what, err))
		}
	}
	r.finish()
	return r, nil
}

// recovery collects the rows.
type recovery struct {
	state      State
	maxChannel int64
	maxSub     uint64
	maxAudit   uint64
	maxErasure uint64
	byID       map[int64]int // index in state.Channels
	byName     map[string]int64
	bySub      map[uint64][2]int // index in state.Channels, and in Subscriptions there
	acked      map[uint64]map[uint64]struct{}

	// The last sequences in the rows of a subscription. began is from its own row, as of when it started, resumed or
	// was suspended. sent is from all other rows, which were written with the pending messages.
	began, sent map[uint64]uint64
	consumers   map[uint64]*consumerRows
	homeless    map[uint64]*Subscription // to patterns, by ID
	unnamed     []unnamed

	namedID map[ConsumerName]uint64
	namedAt map[uint64]int // index in state.Named, by ID
	orphans map[string]int // parked messages of other consumers, by key of the row
}

// names returns the names of channels by ID.
func (r *recovery) names() map[int64]string {
	all := make(map[int64]string, len(r.state.Channels))
	for _, c := range r.state.Channels {
		all[c.Channel.id] = c.Channel.name
	}
	return all
}

// damaged notes a row that cannot be read.
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
	if r.state.Server != nil || r.state.Importing != nil || r.state.Moved != nil {
		return fmt.Errorf("table ServerInfo has more than one row: %w", errCorrupt)
	}
	if version != ServerInfoVersion && version != ImportVersion && version != MovedVersion {
		return fmt.Errorf("table ServerInfo: format version %d, want %d: %w", version, ServerInfoVersion, errCorrupt)
	}
	info := &spb.ServerInfo{}
	if err := info.Unmarshal(data); err != nil {
		return fmt.Errorf("table ServerInfo: proto is not a ServerInfo: %w: %w", errCorrupt, err)
	}
	if info.ClusterID != id {
		return fmt.Errorf("table ServerInfo: the row of cluster %q holds the server info of %q: %w", info.ClusterID, id, errCorrupt)
	}
	switch version {
	case ImportVersion:
		r.state.Importing = info
	case MovedVersion:
		r.state.Moved = info
	default:
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
	info := &spb.ClientInfo{ID: id, HbInbox: inbox.String} // all that NATS Streaming stored before 0.10
	if len(data) > 0 {
		if err := info.Unmarshal(data); err != nil || info.ID != id {
			_ = r.damaged("Clients", fmt.Sprintf("id %q", id), "proto is not its ClientInfo; only the other columns of the client are used")
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
	case twice: // only after an administrator dropped the index, or on MySQL
		damaged = r.damaged("Channels", fmt.Sprintf("id %d", c.id), fmt.Sprintf("channel %d also has the name %q", other, c.name))
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
	var kind sql.NullString
	if err := rows.Scan(&channel, &id, &lastSent, &data, &kind); err != nil {
		return err
	}
	at, ok := r.byID[channel]
	if !ok && channel != noChannel {
		return nil // its channel was deleted, or is out of service
	}
	key := fmt.Sprintf("id %d, subid %d", channel, id)
	var c *ChannelState
	if ok {
		c = &r.state.Channels[at]
		key = fmt.Sprintf("id %d (channel %q), subid %d", channel, c.Channel.name, id)
	}
	var damaged *DamagedError
	if reason := lastSent.problem("lastsent"); reason != "" {
		damaged = r.damaged("Subscriptions", key, reason)
	}
	if data == nil {
		if ok {
			c.Channel.raise(lastSent.n)
		}
		return nil
	}
	state := &spb.SubState{}
	if err := state.Unmarshal(data); err != nil || state.ID != id {
		_ = r.damaged("Subscriptions", key, "proto is not its SubState")
		return nil
	}
	if !kind.Valid {
		r.unnamed = append(r.unnamed, unnamed{channel, data, state})
	}
	if !ok {
		r.homeless[id] = &Subscription{State: state, Damaged: damaged}
		return nil
	}
	r.began[id], r.sent[id] = state.LastSent, lastSent.n
	state.LastSent = max(state.LastSent, lastSent.n)
	r.bySub[id] = [2]int{at, len(c.Subscriptions)}
	c.Subscriptions = append(c.Subscriptions, Subscription{State: state, Damaged: damaged})
	return nil
}

// pending reads a row of SubsPending in any of its three forms. NATS Streaming writes one sequence (seq > 0) or, with
// caching, lists of the sequences sent and acknowledged since the row before. This store writes the whole progress (row
// 0).
func (r *recovery) pending(rows *sql.Rows) error {
	var id, row uint64
	var seq, lastSent number
	var pending, acks []byte
	if err := rows.Scan(&id, &row, &seq, &lastSent, &pending, &acks); err != nil {
		return err
	}
	at, ok := r.bySub[id]
	if !ok {
		return nil // a deleted subscription left it behind
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
		sub.Damaged = r.damaged("SubsPending", key, "pending or acks is not a list of sequences")
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

// finish removes acknowledged messages, whatever the order of the rows, and sorts the sequences. It also raises each
// channel's last sequence to what a subscriber was sent, in case that message has expired.
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
	r.finishParked()
}

func (c *Channel) raise(last uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info.Last = max(c.info.Last, last)
}

// encodeSequences returns a JSON array, as NATS Streaming writes it.
func encodeSequences(sequences []uint64) []byte {
	if len(sequences) == 0 {
		return nil
	}
	text, err := json.Marshal(sequences)
	if err != nil {
		panic(err) // numbers always encode
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

// SetServerInfo saves the identity of the server, which Recover returns. It retries until ctx ends.
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
