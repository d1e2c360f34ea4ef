package proof_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// raise changes the amount of an event, in the message and in its column.
func (s *store) raise(t *testing.T, position uint64) {
	t.Helper()
	r := s.rows(t)[position-1]
	was := []byte(`{"amount":1`)
	if !bytes.Contains(r.data, was) {
		t.Fatalf("the message is %q", r.data)
	}
	s.exec(t, "UPDATE Messages SET data = ? WHERE position = ?", bytes.Replace(r.data, was, []byte(`{"amount":9`), 1), position)
	column := "CAST(event_data AS CHAR)"
	switch s.driver {
	case "postgres":
		s.exec(t, `UPDATE Messages SET event_data = replace(event_data::text, '"amount": 1', '"amount": 9')::jsonb WHERE position = ?`, position)
		return
	case "sqlite":
		column = "event_data"
	}
	s.exec(t, "UPDATE Messages SET event_data = replace("+column+", ':1', ':9') WHERE position = ?", position)
	if s.driver == "mysql" {
		s.exec(t, "UPDATE Messages SET event_data = replace("+column+", ': 1', ': 9') WHERE position = ?", position)
	}
}

// TestChain: the chain of a server, also after a restart, is what the specification says, and a head has its hash.
func TestChain(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fill(t, driver, source)
		s.checkChain(t)
		s.verify(t, 0, []string{"--chain", "--heads", s.heads, "--key", s.key}, "20 events", "No faults found")
		s.verify(t, 0, []string{"--chain", "--from", s.heads, "--key", s.key}, "0 events")
		s.verify(t, 0, []string{"--chain", "--from", "7"}, "13 events")
		other := strings.TrimSpace(run(t, 0, "chain", "keygen", t.TempDir()+"/other.pem"))
		s.verify(t, 8, []string{"--chain", "--heads", s.heads, "--key", other}, "signed with another key")
		_ = s.db.Close()
		server := harness.Start(t, driver, source, s.args()...)
		s.publish(t, server, 9)
		server.Kill()
		s.open(t)
		s.checkChain(t)
		s.verify(t, 0, []string{"--chain", "--from", s.heads, "--key", s.key})
	})
}

// TestChangedEvent: an event that somebody changed together with its columns is found and named.
func TestChangedEvent(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fill(t, driver, source)
		s.raise(t, 7)
		s.verify(t, 8, []string{"--chain"}, "FINDING chain: Messages, position 7, channel", "this is the first event that differs")
		s.verify(t, 8, []string{"--chain", "--from", "5"}, "position 7, channel")
		s.verify(t, 0, []string{"--chain", "--from", "7"})
		out := run(t, 8, "verify", "--driver", driver, "--dsn", source)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "FINDING") && !strings.Contains(line, "FINDING schema") && !strings.Contains(line, "FINDING chain") {
				t.Errorf("the change was not a clean one: %s", line)
			}
		}
	})
}

// TestSwappedEvents: two events that changed places are found.
func TestSwappedEvents(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fill(t, driver, source)
		for _, to := range [][2]int{{7, 1007}, {8, 7}, {1007, 8}} {
			s.exec(t, "UPDATE Messages SET position = ? WHERE position = ?", to[1], to[0])
		}
		s.verify(t, 8, []string{"--chain"}, "position 7, channel")
	})
}

// TestDeletedEvents: an event that is missing is found by the one after it, and one at the end by a head.
func TestDeletedEvents(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fill(t, driver, source)
		s.exec(t, "DELETE FROM Messages WHERE position = ?", s.last)
		s.exec(t, "UPDATE StoreLock SET position = ?", s.last-1)
		s.verify(t, 8, []string{"--chain"}, "names position 20, but the last event has position 19")
		s.exec(t, "DELETE FROM ChainHeads")
		s.verify(t, 0, []string{"--chain"}, "19 events")
		s.verify(t, 8, []string{"--chain", "--heads", s.heads}, "names position 20, but the last event has position 19: events at the end were removed")
		s.exec(t, "DELETE FROM Messages WHERE position = 12")
		s.verify(t, 8, []string{"--chain"}, "position 13, channel", "the events at positions 12 to 12 are missing")
	})
}

// TestRewrittenChain: whoever changes an event, computes all hashes anew and removes the heads of the database is found by a head that
// was kept elsewhere.
func TestRewrittenChain(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fill(t, driver, source)
		s.raise(t, 7)
		s.rechain(t)
		s.verify(t, 8, []string{"--chain"}, "its hash is not that of the head of")
		s.exec(t, "DELETE FROM ChainHeads")
		s.verify(t, 0, []string{"--chain"}, "20 events")
		for _, with := range []string{"--heads", "--from"} {
			s.verify(t, 8, []string{"--chain", with, s.heads, "--key", s.key}, "position 20: its hash is not that of the head of")
		}
	})
}

// TestErasedContent: an event whose content is gone verifies by its digest, and only by that.
func TestErasedContent(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fill(t, driver, source)
		r := s.rows(t)[6]
		s.exec(t, "UPDATE Messages SET chain = ?, data = ?, event_data = NULL WHERE position = 7", append(r.contentDigest(), r.hash()...), []byte("erased"))
		s.verify(t, 0, []string{"--chain", "--heads", s.heads, "--key", s.key}, "20 events, 1 of them with erased contents")
		s.exec(t, "UPDATE Messages SET chain = ? WHERE position = 7", append(bytes.Repeat([]byte{1}, 32), r.hash()...))
		s.verify(t, 8, []string{"--chain"}, "position 7, channel")
	})
}

// TestErasedAggregate: after an erasure by the server, the chain and heads from before still verify. A changed digest of a tombstone, and another
// changed event, are found and named.
func TestErasedAggregate(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fillGuarded(t, driver, source)
		before := s.rows(t)
		_ = s.db.Close()
		port, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		server := harness.Start(t, driver, source, append(s.args(), "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port))...)
		run(t, 0, "erase", "aggregate", "ac", "--reason", "request 1", "--yes", "--url", fmt.Sprint("http://127.0.0.1:", port))
		server.Stop()
		harness.Verify(t, driver, source)
		s.open(t)
		erased := 0
		for i, r := range s.rows(t)[:len(before)] {
			was := before[i]
			if !bytes.Equal(r.hash(), was.hash()) {
				t.Errorf("the erasure has changed the hash at position %d", r.position)
			}
			if r.aggregate != "ac" {
				continue
			}
			erased++
			if !r.erased() || !bytes.Equal(r.contentDigest(), was.contentDigest()) || bytes.Contains(r.data, []byte("amount")) {
				t.Errorf("position %d has %x in the chain, want the digest %x", r.position, r.link, was.contentDigest())
			}
		}
		if erased != 3 {
			t.Fatalf("%d events were erased, want 3", erased)
		}
		s.checkChain(t)
		s.verify(t, 0, []string{"--chain", "--heads", s.heads, "--key", s.key}, "3 of them with erased contents", "No faults found")
		s.verify(t, 0, []string{"--chain", "--from", "7", "--heads", s.heads, "--key", s.key})
		s.unguard(t)
		var last row
		for _, r := range s.rows(t) {
			if r.erased() {
				last = r
			}
		}
		at := last.position
		s.exec(t, "UPDATE Messages SET chain = ? WHERE position = ?", append(bytes.Repeat([]byte{1}, 32), last.hash()...), at)
		s.verify(t, 8, []string{"--chain"}, fmt.Sprintf("position %d, channel", at), "this is the first event that differs")
		s.raise(t, 4)
		s.verify(t, 8, []string{"--chain"}, "position 4, channel")
	})
}

// TestForeignEvent: an event that another program has inserted between those of the server has no hash.
func TestForeignEvent(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := fill(t, driver, source)
		s.exec(t, "UPDATE Messages SET chain = NULL WHERE position = 7")
		s.verify(t, 8, []string{"--chain"}, "position 7, channel", "it has no hash", "position 8, channel")
	})
}

// TestLastHead: a server that stops makes a head of the last events, however long the interval is.
func TestLastHead(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		dir := t.TempDir()
		s := &store{driver: driver, source: source, heads: filepath.Join(dir, "heads.jsonl"), privateKey: filepath.Join(dir, "key.pem")}
		s.key = strings.TrimSpace(run(t, 0, "chain", "keygen", s.privateKey))
		server := harness.Start(t, driver, source, append(s.args(), "-chain_interval", "1h")...)
		s.publish(t, server, 3)
		server.Stop()
		s.open(t)
		s.checkChain(t)
		s.verify(t, 0, []string{"--chain", "--heads", s.heads, "--key", s.key}, "3 events", "2 heads")
	})
}
