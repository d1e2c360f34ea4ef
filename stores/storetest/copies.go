package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// copied returns an event with a copy of each kind.
func (e event) copied(t *testing.T, c, envelopes, data *stores.Channel) stores.Append {
	t.Helper()
	a := e.on(t, c)
	a.Copies = []stores.Copy{{Channel: envelopes}, {Channel: data, Kind: stores.CopyData}}
	return a
}

// testCopies: copies exist if and only if the event does, in its order, and hold what was stored of it.
func testCopies(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c, envelopes, data := channel(t, s, "eventstore.c"), channel(t, s, "envelopes"), channel(t, s, "data")
	refuseCopies(t, o)
	t.Cleanup(faults.Wait)

	results := appendAll(t, s,
		event{id: "1", aggregate: "a"}.copied(t, c, envelopes, data),
		event{aggregate: "a", version: 7}.copied(t, c, envelopes, data),       // refused by its version
		event{id: "1", aggregate: "a"}.copied(t, c, envelopes, data),          // a duplicate
		event{aggregate: "a", data: `"poison"`}.copied(t, c, envelopes, data), // the database refuses its copies
		event{aggregate: "b", version: 1, data: `"2"`}.copied(t, c, envelopes, data),
		stores.Append{Channel: data, Payload: []byte("of someone else")},
		event{aggregate: "a", data: `"3"`}.on(t, c),
	)
	if len(results[0].Copies) != 2 || len(results[2].Copies)+len(results[3].Copies) != 0 || results[3].Err == nil {
		t.Fatalf("results: %+v", results)
	}
	for i, of := range []*stores.Channel{envelopes, data} {
		read, err := s.Read(testContext(t), of, 1, 1, 1, 1)
		if err != nil || string(read[0].Data) != string(results[0].Copies[i].Data) {
			t.Fatalf("copy %d is not the one of the result: %v", i, err)
		}
	}

	// Whatever the fate of a COMMIT.
	for i, fault := range []CommitFault{LostBefore, LostAfter, LateCommit} {
		if o.Driver == "sqlite" && fault == LateCommit {
			fault = LostAfter
		}
		faults.Commits(fault)
		results := appendAll(t, s, event{aggregate: "f", data: fmt.Sprint(i)}.copied(t, c, envelopes, data))
		if results[0].Err != nil || len(results[0].Copies) != 2 {
			t.Fatalf("results: %+v", results)
		}
	}

	s, _ = restart(t, s, o)
	want := payloads(readAll(t, s, s.Channel("eventstore.c")))
	want = slices.Delete(want, 2, 3) // the one without copies
	if got := payloads(readAll(t, s, s.Channel("envelopes"))); !slices.Equal(got, want) {
		t.Errorf("envelopes %q, want %q", got, want)
	}
	for i := range want {
		e, err := proto.Extract([]byte(want[i]))
		if err != nil {
			t.Fatal(err)
		}
		want[i] = string(e.Data)
	}
	want = slices.Insert(want, 2, "of someone else")
	if got := payloads(readAll(t, s, s.Channel("data"))); !slices.Equal(got, want) {
		t.Errorf("data %q, want %q", got, want)
	}
}

// testCopiesToUnknownChannels: an event is not stored if its copy cannot be stored.
func testCopiesToUnknownChannels(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, gone := channel(t, s, "eventstore.c"), channel(t, s, "gone")
	if err := s.DeleteChannel(testContext(t), gone); err != nil {
		t.Fatal(err)
	}
	results := appendAll(t, s, event{aggregate: "a"}.copied(t, c, gone, gone), event{aggregate: "a"}.on(t, c))
	expectError(t, results[0].Err, stores.ErrUnknownChannel)
	expect(t, results[1:], "1")
}

func payloads(messages []*pb.MsgProto) []string {
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Data))
	}
	return all
}

// refuseCopies makes the database refuse messages without event columns that contain the word poison.
func refuseCopies(t *testing.T, o stores.Options) {
	t.Helper()
	db := raw(t, o)
	switch o.Driver {
	case "sqlite":
		exec(t, db, "CREATE TRIGGER poison BEFORE INSERT ON Messages WHEN NEW.event_type IS NULL AND instr(NEW.data, CAST('poison' AS BLOB)) > 0 BEGIN SELECT RAISE(ABORT, 'poison'); END")
	case "postgres":
		exec(t, db, "ALTER TABLE Messages ADD CONSTRAINT poison CHECK (event_type IS NOT NULL OR position('poison'::bytea IN data) = 0)")
	default:
		exec(t, db, "ALTER TABLE Messages ADD CONSTRAINT poison CHECK (event_type IS NOT NULL OR INSTR(data, 'poison') = 0)")
	}
}
