package verify

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// server checks ServerInfo.
func (c *check) server(ctx context.Context) error {
	found := false
	err := c.snapshot.Query(ctx, "SELECT uniquerow, id, proto, version FROM ServerInfo", func(rows *sql.Rows) error {
		found = true
		var row, version sql.NullInt64
		var id sql.NullString
		var data []byte
		ok, err := c.scanned(rows, "ServerInfo", &row, &id, &data, &version)
		if err != nil || !ok {
			return err
		}
		key := fmt.Sprintf("uniquerow %d", row.Int64)
		bad := func(format string, args ...any) { c.findings.add("server", "ServerInfo", key, format, args...) }
		info := &spb.ServerInfo{}
		switch err := info.Unmarshal(data); {
		case row.Int64 != 1:
			bad("the only row must have uniquerow 1")
		case err != nil:
			bad("proto is not a ServerInfo: %v", err)
		case info.ClusterID != id.String:
			bad("id is %q, proto says %q", id.String, info.ClusterID)
		case version.Int64 == stores.ImportVersion:
			bad("an import or a copy did not finish")
		case version.Int64 == stores.MovedVersion:
			c.notes.add("server", "ServerInfo", key, "the store was moved to another database: no server starts on this one")
		case version.Int64 != stores.ServerInfoVersion:
			bad("the format version is %d, not %d", version.Int64, stores.ServerInfoVersion)
		}
		return nil
	})
	if err != nil || found {
		return err
	}
	return c.snapshot.Query(ctx, "SELECT COUNT(*) FROM Channels", func(rows *sql.Rows) error {
		var channels uint64
		if err := rows.Scan(&channels); err != nil || channels == 0 {
			return err // a new database
		}
		c.findings.add("server", "ServerInfo", "uniquerow 1", "it is missing, but there are channels")
		return nil
	})
}

// readChannels reads the rows of Channels, including deleted ones.
func (c *check) readChannels(ctx context.Context) error {
	names, lower := map[string]int64{}, map[string]string{}
	err := c.snapshot.Query(ctx, "SELECT id, name, maxseq, msgs, bytes, deleted FROM Channels ORDER BY id", func(rows *sql.Rows) error {
		ch := &channelCheck{check: c}
		var name sql.NullString
		var maxseq, msgs, bytes sql.NullInt64
		var deleted sql.NullBool
		ok, err := c.scanned(rows, "Channels", &ch.id, &name, &maxseq, &msgs, &bytes, &deleted)
		if err != nil || !ok {
			return err
		}
		ch.name, ch.deleted = name.String, deleted.Bool
		ch.maxseq, ch.msgs, ch.bytes = maxseq.Int64, msgs.Int64, bytes.Int64
		c.channels[ch.id] = ch
		if ch.deleted {
			return nil
		}
		c.order = append(c.order, ch)
		c.total += uint64(max(ch.msgs, 0))
		c.report.Channels++
		ch.rules, ch.erased = c.Rules(ch.name), c.Erased[ch.name]
		bad := func(format string, args ...any) {
			c.findings.add("channel", "Channels", fmt.Sprintf("id %d, name %q", ch.id, ch.name), format, args...)
		}
		if !ch.rules.Valid {
			bad("the name is not one that the server accepts")
		}
		if !maxseq.Valid || !msgs.Valid || !bytes.Valid || min(ch.maxseq, ch.msgs, ch.bytes) < 0 {
			bad("maxseq, msgs or bytes is NULL or negative")
		}
		switch other, ok := lower[strings.ToLower(ch.name)]; {
		case names[ch.name] != 0:
			bad("channel %d has the same name", names[ch.name])
		case ok:
			bad("channel %q differs only in case", other)
		}
		names[ch.name], lower[strings.ToLower(ch.name)] = ch.id, ch.name
		return nil
	})
	for channel := range c.Erased {
		if err == nil && names[channel] == 0 {
			c.notes.add("erased", "Channels", fmt.Sprintf("name %q", channel), "the list of erased messages names it, but there is no such channel")
		}
	}
	return err
}

// state checks clients, subscriptions and their pending messages.
func (c *check) state(ctx context.Context) error {
	clients := map[string]bool{}
	err := c.snapshot.Query(ctx, "SELECT id, hbinbox, proto FROM Clients ORDER BY id", func(rows *sql.Rows) error {
		var id, inbox sql.NullString
		var data []byte
		ok, err := c.scanned(rows, "Clients", &id, &inbox, &data)
		if err != nil || !ok {
			return err
		}
		clients[id.String] = true
		c.report.Clients++
		info := &spb.ClientInfo{ID: id.String}
		if err := info.Unmarshal(data); err != nil {
			c.findings.add("client", "Clients", fmt.Sprintf("id %q", id.String), "proto is not a ClientInfo: %v", err)
		} else if info.ID != id.String {
			c.findings.add("client", "Clients", fmt.Sprintf("id %q", id.String), "proto belongs to client %q", info.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.wildcards(ctx); err != nil {
		return err
	}
	known := map[uint64]*subscriptionCheck{}
	if err := c.subscriptions(ctx, clients, known); err != nil {
		return err
	}
	if err := c.pending(ctx, known); err != nil {
		return err
	}
	if err := c.consumers(ctx, known); err != nil {
		return err
	}
	if err := c.named(ctx); err != nil {
		return err
	}
	return c.cancelled(ctx)
}

// subscriptionCheck is what the rows of SubsPending are compared with.
type subscriptionCheck struct {
	channel  *channelCheck // nil if it does not exist
	lastSent uint64
}

func (c *check) subscriptions(ctx context.Context, clients map[string]bool, known map[uint64]*subscriptionCheck) error {
	const text = "SELECT id, subid, lastsent, proto, deleted FROM Subscriptions ORDER BY subid, id"
	return c.snapshot.Query(ctx, text, func(rows *sql.Rows) error {
		var channel, id int64
		var lastSent sql.NullInt64
		var data []byte
		var deleted sql.NullBool
		ok, err := c.scanned(rows, "Subscriptions", &channel, &id, &lastSent, &data, &deleted)
		if err != nil || !ok {
			return err
		}
		bad := func(format string, args ...any) {
			c.findings.add("subscription", "Subscriptions", fmt.Sprintf("id %d, subid %d", channel, id), format, args...)
		}
		ch := c.subscribed(channel)
		twice := known[uint64(id)] != nil
		sub := &subscriptionCheck{channel: ch, lastSent: uint64(lastSent.Int64)}
		known[uint64(id)] = sub
		switch {
		case ch == nil:
			bad("there is no channel %d", channel)
			return nil
		case deleted.Bool, ch.deleted, data == nil: // NATS Streaming writes such a row before the subscription
			return nil
		case twice:
			bad("another subscription has the same subid")
		}
		c.report.Subscriptions++
		state := &spb.SubState{}
		if err := state.Unmarshal(data); err != nil {
			bad("proto is not a SubState: %v", err)
			return nil
		}
		if state.ID != uint64(id) {
			bad("proto belongs to subscription %d", state.ID)
		}
		if !lastSent.Valid || lastSent.Int64 < 0 {
			bad("lastsent is NULL or negative")
			return nil
		}
		sub.lastSent = max(sub.lastSent, state.LastSent)
		ch.sent(sub.lastSent, bad)
		if !clients[state.ClientID] && !state.IsDurable && state.DurableName == "" {
			c.notes.add("subscription", "Subscriptions", fmt.Sprintf("id %d, subid %d", channel, id),
				"client %q is not registered: the next start of a server drops the subscription", state.ClientID)
		}
		return nil
	})
}

// sent compares the last sequence sent to a subscription with the last sequence of the channel.
func (ch *channelCheck) sent(last uint64, bad func(format string, args ...any)) {
	switch {
	case last <= uint64(max(ch.maxseq, 0)):
	case ch == ch.check.allEvents:
		bad("position %d was sent, but the last one is %d", last, ch.maxseq)
	default:
		bad("sequence %d was sent, but the last one of channel %q is %d", last, ch.name, ch.maxseq)
	}
}

func (c *check) pending(ctx context.Context, known map[uint64]*subscriptionCheck) error {
	// "row" is a reserved word, and each database quotes it differently; a qualified name needs no quotes.
	const text = "SELECT subid, p.row, seq, lastsent, pending, acks FROM SubsPending AS p"
	return c.snapshot.Query(ctx, text, func(rows *sql.Rows) error {
		var id, row int64
		var seq, lastSent sql.NullInt64
		var pending, acks []byte
		ok, err := c.scanned(rows, "SubsPending", &id, &row, &seq, &lastSent, &pending, &acks)
		if err != nil || !ok {
			return err
		}
		key := fmt.Sprintf("subid %d, row %d", id, row)
		bad := func(format string, args ...any) { c.findings.add("pending", "SubsPending", key, format, args...) }
		sub := known[uint64(id)]
		switch {
		case sub == nil && row != 0:
			c.notes.add("pending", "SubsPending", key, "NATS Streaming left it behind: there is no such subscription")
			return nil
		case sub == nil:
			bad("there is no subscription %d", id)
			return nil
		case sub.channel == nil || sub.channel.deleted:
			return nil
		}
		sent, err := stores.DecodeSequences(pending)
		if err != nil {
			bad("pending is not a list of sequences: %v", err)
			return nil
		}
		if _, err := stores.DecodeSequences(acks); err != nil {
			bad("acks is not a list of sequences: %v", err)
			return nil
		}
		if !seq.Valid || !lastSent.Valid || min(seq.Int64, lastSent.Int64) < 0 {
			bad("seq or lastsent is NULL or negative")
			return nil
		}
		last := uint64(max(seq.Int64, lastSent.Int64))
		if row == 0 {
			for i, s := range sent {
				if s > last || s == 0 || i > 0 && s <= sent[i-1] {
					bad("pending sequence %d at position %d is above lastsent, %d, or not above the one before it", s, i+1, last)
					break
				}
			}
		}
		sub.channel.sent(last, bad)
		return nil
	})
}
