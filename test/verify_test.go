package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// verified is the report of verify -json.
type verified struct {
	Clean    bool
	Schema   int64
	Channels int
	Messages uint64
	Events   uint64
	Erased   uint64
	Findings []finding
	Notes    []finding
	Counts   map[string]int `json:"finding_counts"`
}

type finding struct{ Kind, Table, Key, Text string }

// verify runs the command and returns its report, without what the chain of hashes tells (test/proof), and the exit status.
func verify(t *testing.T, driver, source string, args ...string) (r verified, status int) {
	t.Helper()
	cmd := exec.Command(harness.Plain(t), append([]string{"verify", "-json", "-report", "100", "-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("report: %v\n%s%s", err, &stdout, &stderr)
	}
	ofChain := func(f finding) bool { return f.Kind == "chain" }
	r.Findings, r.Notes = slices.DeleteFunc(r.Findings, ofChain), slices.DeleteFunc(r.Notes, ofChain)
	delete(r.Counts, "chain")
	return r, cmd.ProcessState.ExitCode()
}

// damages are changes made with SQL, and what verify reports. Each one affects a channel of its own with three events,
// whose row is {id}. {garbage} is meaningless bytes, {other} is the state of subscription 5.
var damages = []struct {
	channel  string
	one      bool // the events are of one aggregate
	sql      []string
	findings []string // kind, and part of the text
}{
	{"gap", false, []string{"DELETE FROM Messages WHERE id = {id} AND seq = 2", "UPDATE Channels SET msgs = 2, {bytes} WHERE id = {id}"},
		[]string{"gap|sequence 2|the messages from here to sequence 2 are missing"}},
	{"begin", false, []string{"DELETE FROM Messages WHERE id = {id} AND seq = 1", "UPDATE Channels SET msgs = 2, {bytes} WHERE id = {id}"},
		[]string{"gap|sequence 1|the messages from here to sequence 1 are missing"}},
	{"end", false, []string{"DELETE FROM Messages WHERE id = {id} AND seq = 3", "UPDATE Channels SET msgs = 2, {bytes} WHERE id = {id}"},
		[]string{"gap|sequence 3|the messages from here to sequence 3, the last one assigned, are missing"}},
	{"lost", false, []string{"DELETE FROM Messages WHERE id = {id} AND seq = 3"},
		[]string{"gap|sequence 3|last one assigned", "counters|lost|msgs is 3 and bytes is"}},
	{"counters", false, []string{"UPDATE Channels SET bytes = bytes + 1 WHERE id = {id}"}, []string{"counters|counters|but Messages has 3 with"}},
	{"maxseq", false, []string{"UPDATE Channels SET maxseq = 2 WHERE id = {id}"}, []string{"counters|maxseq|maxseq is 2, but a message has sequence 3"}},
	{"time", false, []string{"UPDATE Messages SET timestamp = 7 WHERE id = {id} AND seq = 2"},
		[]string{"time|sequence 2|timestamp 7 is earlier than that of sequence 1", "message|sequence 2|timestamp is 7, data says", "order|sequence 2|its timestamp, 7, is earlier than that of the position before it"}},
	{"garbage", false, []string{"UPDATE Messages SET data = {garbage}, size = 3 WHERE id = {id} AND seq = 2", "UPDATE Channels SET {bytes} WHERE id = {id}"},
		[]string{"message|sequence 2|data is not a MsgProto"}},
	{"exchanged", false, []string{"UPDATE Messages SET data = (SELECT d FROM (SELECT data AS d FROM Messages WHERE id = {id} AND seq = 1) AS o), size = (SELECT s FROM (SELECT size AS s FROM Messages WHERE id = {id} AND seq = 1) AS o) WHERE id = {id} AND seq = 2", "UPDATE Channels SET {bytes} WHERE id = {id}"},
		[]string{"message|sequence 2|data has sequence 1", `columns|sequence 2|event_id is "exchanged-2"`, `columns|sequence 2|aggregate_id is "exchanged-2"`}},
	{"size", false, []string{"UPDATE Messages SET size = size + 1 WHERE id = {id} AND seq = 2"}, []string{"size|sequence 2|size is"}},
	{"type", false, []string{"UPDATE Messages SET event_type = 'U' WHERE id = {id} AND seq = 2"}, []string{`columns|sequence 2|event_type is "U", the payload says "T"`}},
	{"aggregate", false, []string{"UPDATE Messages SET aggregate_id = 'other' WHERE id = {id} AND seq = 2"}, []string{`columns|sequence 2|aggregate_id is "other"`}},
	{"document", false, []string{`UPDATE Messages SET event_data = '{"amount": 2}' WHERE id = {id} AND seq = 2`}, []string{"columns|sequence 2|event_data differs from the payload"}},
	{"metadata", false, []string{`UPDATE Messages SET metadata = '{"user": "me"}' WHERE id = {id} AND seq = 2`}, []string{"columns|sequence 2|metadata differs from the payload"}},
	{"untyped", false, []string{"UPDATE Messages SET event_type = NULL WHERE id = {id} AND seq = 2"}, []string{"columns|sequence 2|event_type is NULL, other columns of an event are not"}},
	{"version", true, []string{"UPDATE Messages SET event_version = 4 WHERE id = {id} AND seq = 3"},
		[]string{"versions|event_version 4|versions from 3 to 3 are missing before sequence 3", "columns|sequence 3|event_version is 4, the payload says 3"}},
	{"repeated", true, []string{"UPDATE Messages SET event_version = 2 WHERE id = {id} AND seq = 3"},
		[]string{"versions|event_version 2|sequences 2 and 3 have the same version", "columns|sequence 3|event_version is 2, the payload says 3"}},
	{"event_id", false, []string{"UPDATE Messages SET event_id = 'event_id-1' WHERE id = {id} AND seq = 3"},
		[]string{`event_id|event_id "event_id-1"|2 events have it, from sequence 1 to 3`, `columns|sequence 3|event_id is "event_id-1", the payload says "event_id-3"`}},
	{"orphan", false, []string{"UPDATE Messages SET id = 9999 WHERE id = {id}", "UPDATE Channels SET msgs = 0, bytes = 0, maxseq = 0 WHERE id = {id}"},
		[]string{"orphan|id 9999|3 messages with sequences from 1 to 3"}},
	{"deleted", false, []string{"UPDATE Channels SET deleted = TRUE WHERE id = {id}"}, []string{"channel|deleted|marked as deleted, but holds events"}},
	{"subscribed", false, []string{
		"INSERT INTO Subscriptions (id, subid, lastsent, proto, deleted) VALUES ({id}, 501, 0, {garbage}, FALSE), ({id}, 502, 8, {other}, FALSE), (8888, 503, 0, {other}, FALSE)",
		"INSERT INTO SubsPending (subid, {row}, seq, lastsent, pending) VALUES (503, 0, 0, 0, NULL), (504, 0, 0, 0, NULL)",
		"INSERT INTO Consumers (consumer, id, lastsent, members) VALUES (505, {id}, 9, '[506]'), (507, 8888, 0, '[]')",
		"INSERT INTO ConsumersPending (consumer, part, pending) VALUES (508, 0, '[[508,1,1]]')",
		"INSERT INTO Consumers (consumer, id, lastsent, members) VALUES (509, 0, 0, '[509]'), (510, 0, 99, '[511]')",
		"INSERT INTO Subscriptions (id, subid, lastsent, proto, deleted) VALUES (0, 511, 0, {other}, FALSE)",
		"INSERT INTO Wildcards (consumer, pattern) VALUES (510, 'orders.>.x'), (512, '>')",
	}, []string{"subscription|subid 501|proto is not a SubState", "subscription|subid 502|proto belongs to subscription 5",
		`subscription|subid 502|sequence 8 was sent, but the last one of channel "eventstore.subscribed" is 3`,
		"subscription|subid 503|there is no channel 8888", "pending|subid 504, row 0|there is no subscription 504",
		"consumer|consumer 505|there is no subscription 506", `consumer|consumer 505|sequence 9 was sent, but the last one of channel "eventstore.subscribed" is 3`,
		"consumer|consumer 507|there is no channel 8888", "pending|consumer 508, part 0|there is no consumer 508",
		"subscription|id 0, subid 511|proto belongs to subscription 5", "consumer|consumer 509|a consumer has either a channel or a pattern",
		`consumer|consumer 510|"orders.>.x" is not a pattern of channels`, "consumer|consumer 510|position 99 was sent, but the last one is", `consumer|consumer 512|its pattern is ">", but there is no such consumer`}},
	{"pending", false, []string{"UPDATE ConsumersPending SET pending = 'garbage' WHERE consumer = {sub}"}, []string{"pending|part 0|pending is not a list of sequences"}},
	{"ahead", false, []string{"UPDATE Consumers SET lastsent = 1 WHERE consumer = {sub}"}, []string{"pending|part 0|is above lastsent, 1"}},
	{"parked", false, []string{
		`INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES (520, 'eventstore.parked', 'me', '"d', '[]'), (521, 'eventstore.>', '', 'q', '{}'), (522, 'absent', '', 'q', '{}'), (523, 'absent', '', 'q', '{}')`,
		"INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES (520, 3, 1, 0, 0, '', ''), (520, 4, 1, 0, 0, '', ''), (521, 5, -1, 0, 0, '', ''), (521, 999999, 1, 0, 0, '', ''), (522, 999, 1, 0, 0, '', ''), (529, 1, 1, 0, 0, '', '')",
		"INSERT INTO ConsumersRedelivered (consumer, part, counts) VALUES (505, 0, '[[1,2,3]]'), (999, 0, '')",
		"INSERT INTO CancelledDeliveries (id, seq) VALUES ({id}, 3), ({id}, 4), (9999, 1)",
	}, []string{`named|consumer 520|name "d is not a name`, "named|consumer 520|settings is not a JSON object", "named|consumer 523|consumer 522 has the same name",
		"parked|consumer 520, seq 4|the last one assigned is 3", "parked|consumer 521, seq 5|negative", "parked|consumer 521, seq 999999|the last one assigned is ", "parked|consumer 529, seq 1|there is no named consumer 529",
		"redelivered|consumer 505, part 0|counts is not a list of counts", "cancelled|seq 4|the last one assigned is 3"}},
	{"client", false, []string{"INSERT INTO Clients (id, hbinbox, proto) VALUES ('broken', '', {garbage})"}, []string{`client|id "broken"|proto is not a ClientInfo`}},
	{"names", false, []string{"INSERT INTO Channels (id, name, maxseq) VALUES (7001, 'a..b', 0), (7002, 'EventStore.Gap', 0), (7003, 'minus', -1)"},
		[]string{`channel|a..b|the name is not one that the server accepts`, `channel|EventStore.Gap|channel "eventstore.gap" differs only in case`, "channel|minus|negative", "counters|minus|"}},
	{"server", false, []string{"UPDATE ServerInfo SET proto = {garbage}"}, []string{"server|uniquerow 1|proto is not a ServerInfo"}},
	{"lease", false, []string{"DELETE FROM StoreLock"}, []string{"lease|all rows|there are 0 rows, not 1"}},
}

// unguard removes the protection that keeps an administrator from doing damage.
var unguard = map[string][]string{
	"sqlite":   {"DROP TRIGGER events_are_immutable_update", "DROP TRIGGER events_are_immutable_delete", "DROP TRIGGER channels_keep_events_update", "DROP INDEX Idx_MsgsAggregate", "DROP INDEX Idx_MsgsEventID"},
	"postgres": {"ALTER TABLE Messages DISABLE TRIGGER events_are_immutable", "ALTER TABLE Messages DISABLE TRIGGER events_are_not_deleted", "ALTER TABLE Channels DISABLE TRIGGER channels_keep_events_update", "DROP INDEX Idx_MsgsAggregate", "DROP INDEX Idx_MsgsEventID"},
	"mysql":    {"DROP TRIGGER events_are_immutable_update", "DROP TRIGGER events_are_immutable_delete", "DROP TRIGGER channels_keep_events_update", "DROP INDEX Idx_MsgsAggregate ON Messages", "DROP INDEX Idx_MsgsEventID ON Messages"},
}

var unguarded = map[string][]string{
	"sqlite":   {"schema|trigger events_are_immutable_update|missing", "schema|trigger events_are_immutable_delete|missing", "schema|trigger channels_keep_events_update|missing", "schema|unique index idx_msgsaggregate|missing", "schema|unique index idx_msgseventid|missing"},
	"postgres": {"schema|trigger events_are_immutable|disabled", "schema|trigger events_are_not_deleted|disabled", "schema|trigger channels_keep_events_update|disabled", "schema|unique index idx_msgsaggregate|missing", "schema|unique index idx_msgseventid|missing"},
	"mysql":    {"schema|trigger events_are_immutable_update|missing", "schema|trigger events_are_immutable_delete|missing", "schema|trigger channels_keep_events_update|missing", "schema|unique index idx_msgsaggregate|missing", "schema|unique index idx_msgseventid|missing"},
}

// A database that the server wrote is clean, with and without a running server. Verify finds and names each kind of
// damage.
func TestVerify(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		for _, d := range damages {
			for i := 1; i <= 3; i++ {
				aggregate := "all"
				if !d.one {
					aggregate = fmt.Sprintf("%s-%d", d.channel, i)
				}
				publish(t, sc, "eventstore."+d.channel, event(t, aggregate, "T", withID(fmt.Sprintf("%s-%d", d.channel, i)), withData(`{"amount": 1.50, "list": [1, {"b": null, "a": "ü"}]}`)))
			}
		}
		publish(t, sc, "plain", []byte("any"), nil, []byte("bytes"))
		for _, channel := range []string{"eventstore.pending", "eventstore.ahead"} {
			_, in := subscribe(t, sc, channel, stan.DurableName(channel), stan.DeliverAllAvailable(), stan.SetManualAckMode())
			in.sequences(t, 3)
		}
		harness.Verify(t, driver, source) // with a running server
		s.Stop()
		r, status := verify(t, driver, source)
		if n := uint64(3 * len(damages)); status != 0 || !r.Clean || r.Messages != n+3 || r.Events != n || r.Channels != len(damages)+1 {
			t.Fatalf("status %d, report %+v", status, r)
		}

		want := unguarded[driver]
		for _, text := range unguard[driver] {
			query(t, driver, source, text)
		}
		garbage, other, row := "x'ffffff'", "x'0805'", `"row"`
		switch driver {
		case "postgres":
			garbage, other = `'\xffffff'`, `'\x0805'`
		case "mysql":
			row = "`row`"
		}
		for _, d := range damages {
			id := query(t, driver, source, fmt.Sprintf("SELECT id FROM Channels WHERE name = 'eventstore.%s'", d.channel))[0]
			sub := "0"
			if found := query(t, driver, source, "SELECT subid FROM Subscriptions WHERE id = "+id); len(found) > 0 {
				sub = found[0]
			}
			fill := strings.NewReplacer("{id}", id, "{sub}", sub, "{garbage}", garbage, "{other}", other, "{row}", row,
				"{bytes}", "bytes = (SELECT SUM(size) FROM Messages WHERE id = "+id+")")
			for _, text := range d.sql {
				if driver == "mysql" { // unsigned columns cannot be negative
					text = strings.ReplaceAll(text, "(7003, 'minus', -1)", "(7003, 'minus', NULL)")
				}
				query(t, driver, source, fill.Replace(text))
			}
			want = append(want, d.findings...)
		}
		if driver == "mysql" { // NULL does not contradict the rows there
			want = without(want, "counters|minus|")
		}
		r, status = verify(t, driver, source)
		if status != 1 || r.Clean {
			t.Errorf("status %d, clean %v", status, r.Clean)
		}
		left := r.Findings
		for _, text := range want {
			at := -1
			parts := strings.Split(text, "|")
			for i, f := range left {
				if f.Kind == parts[0] && strings.Contains(f.Key, parts[1]) && strings.Contains(f.Text, parts[2]) {
					at = i
				}
			}
			if at < 0 {
				t.Errorf("not found: %s", text)
				continue
			}
			left = append(left[:at:at], left[at+1:]...)
		}
		for _, f := range left {
			t.Errorf("unexpected finding: %+v", f)
		}
		out, status := runBinary(t, "verify", "-report", "1", "-store", "SQL", "-sql_driver", driver, "-sql_source", source)
		if status != 1 {
			t.Errorf("status %d", status)
		}
		has(t, out, "FINDING columns: Messages, channel ", "FINDING columns: and ", " more", "events of ")
	})
}

func without(list []string, text string) []string {
	var rest []string
	for _, it := range list {
		if it != text {
			rest = append(rest, it)
		}
	}
	return rest
}

// Verify tells a database that it cannot read from a damaged one.
func TestVerifyCannot(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		args := []string{"verify", "-store", "SQL", "-sql_driver", driver, "-sql_source", source}
		expect := func(text string) {
			t.Helper()
			if out, status := runBinary(t, args...); status != 2 || !strings.Contains(out, text) {
				t.Errorf("status %d, output %s", status, out)
			}
		}
		if driver == "sqlite" {
			expect("nothing to verify")
		} else {
			createFormerTables(t, driver, source)
			expect("if NATS Streaming wrote it, run nats-streaming-server migrate")
		}
		start(t, driver, source).Stop()
		query(t, driver, source, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, TRUE)")
		expect("the schema of the database is newer than this server: it is at version 1000")
		args[len(args)-1] = "/nowhere/at/all"
		if driver != "sqlite" {
			args[len(args)-1] = strings.ReplaceAll(source, "secret", "wrong-password")
		}
		if out, status := runBinary(t, args...); status != 2 || strings.Contains(out, "wrong-password") {
			t.Errorf("status %d, output %s", status, out)
		}
	})
}
