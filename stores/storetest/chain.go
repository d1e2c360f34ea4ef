package storetest

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// testChainImmutable: an event gets its place in the chain once. An erasure puts only the listed digest there, and keeps the hash.
func testChainImmutable(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, plain := channel(t, s, "eventstore.c"), channel(t, s, "plain")
	appendAll(t, s, event{aggregate: "a"}.on(t, c), event{aggregate: "b"}.on(t, c), event{aggregate: "c"}.on(t, c), stores.Append{Channel: plain})
	if got := queryText(t, raw(t, o), "SELECT COUNT(*) FROM Messages WHERE chain IS NOT NULL"); got != "3" {
		t.Errorf("%s messages are in the chain", got)
	}
	erasure := list(t, s, c, 2)
	before := links(t, o)
	listed := queryBytes(t, o, "SELECT chain FROM ErasedMessages WHERE seq = 2")
	if len(listed) != chain.ErasedLinkSize || chain.Link(listed).Hash() != before[1].link.Hash() {
		t.Fatalf("%x is listed for an event with %x", listed, before[1].link)
	}
	literal := func(link []byte) string {
		if o.Driver == "postgres" {
			return `'\x` + hex.EncodeToString(link) + "'"
		}
		return "x'" + hex.EncodeToString(link) + "'"
	}
	changed := func(at int) string {
		link := append([]byte(nil), listed...)
		link[at] ^= 1
		return literal(link)
	}
	tombstone := "UPDATE Messages SET data = (SELECT data FROM ErasedMessages WHERE seq = 2), size = (SELECT size FROM ErasedMessages WHERE seq = 2), event_data = NULL, metadata = NULL, tags = NULL, " + fmt.Sprintf("erased = %d", erasure)
	var refused []string
	for _, link := range []string{"NULL", literal(nil), literal(before[0].link), literal(make([]byte, chain.LinkSize)), literal(listed)} {
		refused = append(refused, "UPDATE Messages SET chain = "+link+" WHERE seq = 2 AND position IS NOT NULL")
	}
	for _, link := range []string{"NULL", "chain", changed(0), changed(40), literal(listed[:63])} {
		refused = append(refused, tombstone+", chain = "+link+" WHERE seq = 2 AND position IS NOT NULL")
	}
	for _, text := range refused {
		if _, err := raw(t, o).ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := s.Erase(testContext(t), erasure, 1); err != nil {
		t.Fatal(err)
	}
	again := tombstone + ", chain = " + changed(0) + " WHERE seq = 2 AND position IS NOT NULL"
	if _, err := raw(t, o).ExecContext(testContext(t), again); err == nil || !strings.Contains(err.Error(), "events are immutable") {
		t.Errorf("%s after the erasure: %v", again, err)
	}
	checkLinks(t, o, 1)
}

// testChainErasedTwice: an event that is erased again keeps its digest, which nobody could compute any more.
func testChainErasedTwice(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	appendAll(t, s, event{aggregate: "a"}.on(t, c), event{aggregate: "b"}.on(t, c))
	for range 2 {
		erasure := list(t, s, c, 1, 2)
		if err := s.Erase(testContext(t), erasure, 1); err != nil {
			t.Fatal(err)
		}
		if err := s.FinishErasure(testContext(t), erasure); err != nil {
			t.Fatal(err)
		}
		checkLinks(t, o, 2)
	}
}

// testChainOfOlder: events of a server that did not know the chain get into it at the takeover, also what that server has erased, and
// what it has listed to be erased.
func testChainOfOlder(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	appendAll(t, s, event{aggregate: "a"}.on(t, c), event{aggregate: "b"}.on(t, c), event{aggregate: "c"}.on(t, c))
	erasure := list(t, s, c, 1)
	if err := s.Erase(testContext(t), erasure, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.FinishErasure(testContext(t), erasure); err != nil {
		t.Fatal(err)
	}
	pending := list(t, s, c, 2)
	s.Close()
	db := raw(t, o)
	if o.Driver == "postgres" {
		exec(t, db, "DROP TRIGGER events_are_immutable ON Messages")
	} else {
		exec(t, db, "DROP TRIGGER events_are_immutable_update")
	}
	if o.Driver == "postgres" {
		exec(t, db, "DROP TRIGGER events_are_erased ON Messages")
	}
	exec(t, db, "ALTER TABLE Messages DROP COLUMN chain")
	exec(t, db, "ALTER TABLE ErasedMessages DROP COLUMN chain")
	exec(t, db, "DROP TABLE ChainHeads")
	exec(t, db, "DELETE FROM goose_db_version WHERE version_id >= 16")
	s, _ = lead(t, o)
	checkLinks(t, o, 0)
	if err := s.Erase(testContext(t), pending, 1); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, event{aggregate: "d"}.on(t, s.Channel("eventstore.c")))
	checkLinks(t, o, 1)
}

// list lists events of a channel, which are the first of the log, for a new erasure, which it returns.
func list(t *testing.T, s *stores.Store, c *stores.Channel, sequences ...uint64) (erasure uint64) {
	t.Helper()
	erasure = s.NewErasureID()
	if err := s.BeginErasure(testContext(t), stores.Erasure{ID: erasure, Requested: 1, Reason: "r", State: stores.ErasurePending, Selector: "{}"}, stores.AuditEntry{Action: "erase", Target: fmt.Sprint(erasure)}); err != nil {
		t.Fatal(err)
	}
	var all []stores.ErasedMessage
	for _, m := range readAll(t, s, c) {
		for _, seq := range sequences {
			if m.Sequence != seq {
				continue
			}
			data, err := (&pb.MsgProto{Sequence: seq, Subject: c.Name(), Data: []byte("erased"), Timestamp: m.Timestamp}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, stores.ErasedMessage{Channel: c, Sequence: seq, Position: seq, Data: data})
		}
	}
	if len(all) != len(sequences) {
		t.Fatalf("%d events to list, want %d", len(all), len(sequences))
	}
	if err := s.ListErased(testContext(t), erasure, all); err != nil {
		t.Fatal(err)
	}
	return erasure
}

// linked is an event with what the chain has of it.
type linked struct {
	chain.Event
	link chain.Link
	data []byte
}

// links returns all events by position.
func links(t *testing.T, o stores.Options) (all []linked) {
	t.Helper()
	rows, err := raw(t, o).QueryContext(testContext(t), `SELECT m.position, c.name, m.seq, m.timestamp, m.event_id, m.event_type, m.aggregate_type, m.aggregate_id, m.event_version, m.chain, m.data
FROM Messages AS m JOIN Channels AS c ON c.id = m.id WHERE m.position IS NOT NULL ORDER BY m.position`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var e linked
		var id, aggregateType sql.NullString
		if err := rows.Scan(&e.Position, &e.Channel, &e.Sequence, &e.Timestamp, &id, &e.Type, &aggregateType, &e.AggregateID, &e.Version, (*[]byte)(&e.link), &e.data); err != nil {
			t.Fatal(err)
		}
		e.EventID, e.AggregateType = id.String, aggregateType.String
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// checkLinks checks that each event follows from the one before, and how many have the digest of an erased content.
func checkLinks(t *testing.T, o stores.Options, erased int) {
	t.Helper()
	h, last := chain.NewHasher(), chain.Hash{}
	for _, e := range links(t, o) {
		if !e.link.Valid() {
			t.Fatalf("position %d has %x in the chain", e.Position, e.link)
		}
		if e.link.Erased() {
			erased--
		}
		digest := e.link.Digest(h, e.data)
		if last = h.Next(&last, &e.Event, &digest); last != e.link.Hash() {
			t.Errorf("position %d has the hash %x, want %x", e.Position, e.link.Hash(), last)
		}
	}
	if erased != 0 {
		t.Errorf("%d more events should have the digest of an erased content", erased)
	}
}

func queryBytes(t *testing.T, o stores.Options, text string) (value []byte) {
	t.Helper()
	if err := raw(t, o).QueryRowContext(testContext(t), text).Scan(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}
