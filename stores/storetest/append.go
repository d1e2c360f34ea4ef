package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func testRoundTrip(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	plain, events := channel(t, s, "plain"), channel(t, s, "eventstore.orders")
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	batch := []stores.Append{
		{Channel: plain, Payload: everyByte, Reply: "reply.to"},
		event{id: "e1", aggregate: "o1", aggregateType: "Order"}.on(t, events),
		{Channel: plain},
		event{id: "e2", aggregate: "o1", aggregateType: "Order", version: 2}.on(t, events),
	}
	results := appendAll(t, s, batch...)
	expect(t, results, "1", "1", "2", "2")

	check := func(s *stores.Store, plain, events *stores.Channel) {
		t.Helper()
		messages := readAll(t, s, plain)
		if len(messages) != 2 || !bytes.Equal(messages[0].Data, everyByte) || messages[0].Reply != "reply.to" || len(messages[1].Data) != 0 {
			t.Fatalf("messages: %v", messages)
		}
		if got := readAll(t, s, events); len(got) != 2 || !bytes.Equal(got[1].Data, batch[3].Payload) {
			t.Fatalf("events: %v", got)
		}
		read, err := s.Read(testContext(t), events, 1, 2, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []stores.Message{results[1].Message, results[3].Message} {
			if read[i].Sequence != want.Sequence || read[i].Timestamp != want.Timestamp || read[i].Version != uint64(i+1) || want.Version != uint64(i+1) || !bytes.Equal(read[i].Data, want.Data) {
				t.Fatalf("message %d is not the one of the result", i)
			}
		}
	}
	check(s, plain, events)
	before := []stores.ChannelInfo{plain.Info(), events.Info()}
	if before[1].First != 1 || before[1].Bytes != uint64(len(results[1].Message.Data)+len(results[3].Message.Data)) {
		t.Fatalf("channel: %+v", before[1])
	}

	s, state := restart(t, s, o)
	if len(state.Channels) != 2 || state.Channels[0].Channel.Name() != "plain" {
		t.Fatalf("recovered %+v", state.Channels)
	}
	plain, events = s.Channel("plain"), s.Channel("eventstore.orders")
	check(s, plain, events)
	if after := []stores.ChannelInfo{plain.Info(), events.Info()}; after[0] != before[0] || after[1] != before[1] {
		t.Fatalf("recovered %+v, want %+v", after, before)
	}
	expect(t, appendAll(t, s, stores.Append{Channel: plain}, event{aggregate: "o1", aggregateType: "Order", version: 3}.on(t, events)), "3", "3")
}

func testManyChannels(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	var batch []stores.Append
	for i := range 20 {
		c := channel(t, s, fmt.Sprintf("eventstore.%d", i))
		for range 3 {
			batch = append(batch, event{aggregate: "a"}.on(t, c))
		}
	}
	for _, r := range appendAll(t, s, batch...) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	s, state := restart(t, s, o)
	for _, c := range state.Channels {
		if len(readAll(t, s, c.Channel)) != 3 {
			t.Fatal(c.Channel.Info())
		}
	}
}

func testReadBounds(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	var batch []stores.Append
	for i := range 50 {
		batch = append(batch, stores.Append{Channel: c, Payload: make([]byte, 100*(i%3))})
	}
	size := len(appendAll(t, s, batch...)[2].Message.Data)
	for _, test := range []struct {
		from, to          uint64
		maxMsgs, maxBytes int
		least, most       int
	}{
		{1, 50, 100, 1 << 20, 50, 50},
		{22, 50, 100, 1 << 20, 29, 29},
		{22, 30, 100, 1 << 20, 9, 9},
		{1, 50, 7, 1 << 20, 7, 7},
		{3, 50, 100, 1, 1, 1},
		{3, 3, 0, 0, 1, 1},
		{1, 50, 100, 3 * size, 1, 8},
		{50, 1 << 63, 100, 1 << 20, 1, 1},
		{51, 100, 100, 1 << 20, 0, 0},
		{1<<64 - 1, 1<<64 - 1, 100, 1 << 20, 0, 0},
		{10, 9, 100, 1 << 20, 0, 0},
	} {
		messages, err := s.Read(testContext(t), c, test.from, test.to, test.maxMsgs, test.maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) < test.least || len(messages) > test.most {
			t.Errorf("%+v: %d messages", test, len(messages))
		}
		total := 0
		for i, m := range messages {
			total += len(m.Data)
			if m.Sequence != test.from+uint64(i) {
				t.Errorf("%+v: sequence %d at %d", test, m.Sequence, i)
			}
		}
		if len(messages) > 1 && total > test.maxBytes {
			t.Errorf("%+v: %d bytes", test, total)
		}
	}
}

func testReadWhileAppending(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	const batches, size = 20, 25
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for next := uint64(1); next <= batches*size; {
				messages, err := s.Read(testContext(t), c, next, 1<<62, 100, 1<<20)
				if err != nil {
					t.Error(err)
					return
				}
				for _, m := range messages {
					if m.Sequence != next {
						t.Errorf("sequence %d, want %d", m.Sequence, next)
						return
					}
					next++
				}
			}
		})
	}
	for i := range batches {
		var batch []stores.Append
		for j := range size {
			batch = append(batch, event{aggregate: fmt.Sprint(j), id: fmt.Sprint(i, "-", j)}.on(t, c))
		}
		appendAll(t, s, batch...)
	}
	readers.Wait()
}

// refuse makes the database refuse events of type Forbidden.
func refuse(t *testing.T, o stores.Options) {
	t.Helper()
	db := raw(t, o)
	if o.Driver == "sqlite" {
		exec(t, db, "CREATE TRIGGER forbidden BEFORE INSERT ON Messages WHEN NEW.event_type = 'Forbidden' BEGIN SELECT RAISE(ABORT, 'forbidden'); END")
		return
	}
	exec(t, db, "ALTER TABLE Messages ADD CONSTRAINT forbidden CHECK (event_type <> 'Forbidden')")
}

func testRefusedRows(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	refuse(t, o)
	for _, forbidden := range [][]int{{0}, {9}, {4}, {0, 1, 2}, {0, 3, 9}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		bad := map[int]bool{}
		for _, i := range forbidden {
			bad[i] = true
		}
		before := c.Info()
		var batch []stores.Append
		for i := range 10 {
			e := event{aggregate: fmt.Sprint("a", i%2)} // a refused event uses no version either
			if bad[i] {
				e.typ = "Forbidden"
			}
			batch = append(batch, e.on(t, c))
		}
		next := before.Last
		for i, r := range appendAll(t, s, batch...) {
			if bad[i] {
				expectError(t, r.Err, stores.ErrRefused)
				if r.Sequence != 0 || !strings.HasPrefix(r.Err.Error(), "the database refused the message: ") || strings.Contains(r.Err.Error(), "\n") {
					t.Fatalf("refused: %+v", r)
				}
				continue
			}
			next++
			if r.Err != nil || r.Sequence != next {
				t.Fatalf("%v: message %d: %+v, want sequence %d", forbidden, i, r, next)
			}
		}
	}
	// A refused event does not stand in for its repetition, nor take its aggregate's next version.
	forbidden := event{id: "x", aggregate: "b", typ: "Forbidden"}
	results := appendAll(t, s, forbidden.on(t, c), forbidden.on(t, c), event{aggregate: "b", version: 1}.on(t, c))
	expectError(t, results[0].Err, stores.ErrRefused)
	expectError(t, results[1].Err, stores.ErrRefused)
	if results[2].Err != nil {
		t.Fatal(results[2].Err)
	}
	// Halving the batch does not forget the version of the first of two either: the second is another event.
	results = appendAll(t, s, event{id: "y", aggregate: "c"}.on(t, c), forbidden.on(t, c), event{id: "y", aggregate: "c", version: 9}.on(t, c))
	expectError(t, results[1].Err, stores.ErrRefused)
	if results[0].Err != nil {
		t.Fatal(results[0].Err)
	}
	expectError(t, results[2].Err, stores.ErrDuplicateEvent)
	events := readAll(t, s, c)
	s, _ = restart(t, s, o)
	if after := readAll(t, s, s.Channel("eventstore.c")); len(after) != len(events) {
		t.Fatalf("%d events after restart, %d before", len(after), len(events))
	}
}

func testDuplicates(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, other := channel(t, s, "eventstore.c"), channel(t, s, "eventstore.other")
	one, two := event{id: "1", aggregate: "a"}, event{id: "2", aggregate: "a"}
	changed := event{id: "1", aggregate: "a", data: `{"amount":2}`}
	taken := `event_id "1" already stored with different content`

	expect(t, appendAll(t, s, one.on(t, c), one.on(t, c), changed.on(t, c), one.on(t, other)), "1", "dup 1", taken, "1")
	expect(t, appendAll(t, s, one.on(t, c), two.on(t, c), one.on(t, c), changed.on(t, c)), "dup 1", "2", "dup 1", taken)
	expect(t, appendAll(t, s, one.on(t, c)), "dup 1")

	s, _ = restart(t, s, o)
	c = s.Channel("eventstore.c")
	three := event{id: "3", aggregate: "a"}
	results := appendAll(t, s, three.on(t, c), two.on(t, c), changed.on(t, c))
	expect(t, results, "3", "dup 2", taken)
	expectError(t, results[2].Err, stores.ErrDuplicateEvent)

	// Events without an identifier are never duplicates.
	plain := event{aggregate: "b"}
	expect(t, appendAll(t, s, plain.on(t, c), plain.on(t, c)), "4", "5")
	var last pb.MsgProto
	if err := last.Unmarshal(results[0].Message.Data); err != nil {
		t.Fatal(err)
	}
	readAll(t, s, c)
}

func testDuplicateVersions(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	first := event{id: "1", aggregate: "a", version: 1}
	second := event{id: "2", aggregate: "a", version: 2}
	expect(t, appendAll(t, s, first.on(t, c), second.on(t, c)), "1", "2")
	wrong := `wrong expected version: aggregate "a" is at version 2, event has version 1`
	expect(t, appendAll(t, s,
		first.on(t, c), second.on(t, c),
		event{id: "3", aggregate: "a", version: 1}.on(t, c),
		event{aggregate: "a", version: 1}.on(t, c),
		event{id: "4", aggregate: "a", version: 3}.on(t, c),
		event{id: "4", aggregate: "a", version: 3}.on(t, c),
		event{id: "2", aggregate: "a"}.on(t, c),
		event{id: "1", aggregate: "a", version: 1, typ: "Other"}.on(t, c),
	), "dup 1", "dup 2", wrong, wrong, "3", "dup 3", "dup 2", `event_id "1" already stored with different content`)
	// The server assigned the version. Sent again, the event has no version, or the assigned one.
	given := event{id: "5", aggregate: "a"}
	expect(t, appendAll(t, s, given.on(t, c)), "4")
	expect(t, appendAll(t, s, given.on(t, c)), "dup 4")
	given.version = 4
	expect(t, appendAll(t, s, given.on(t, c)), "dup 4")
	readAll(t, s, c)
}

func testVersions(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, other := channel(t, s, "eventstore.c"), channel(t, s, "eventstore.other")
	at := func(version uint64) stores.Append { return event{aggregate: "A", version: version}.on(t, c) }
	wrong := func(head, version int) string {
		return fmt.Sprintf(`wrong expected version: aggregate "A" is at version %d, event has version %d`, head, version)
	}
	expect(t, appendAll(t, s, at(2), at(1), at(1), at(0), at(3), at(3), at(5)),
		wrong(0, 2), "1", wrong(1, 1), "2", "3", wrong(3, 3), wrong(3, 5))
	// Another type or another channel means another aggregate.
	expect(t, appendAll(t, s,
		event{aggregate: "A", aggregateType: "T", version: 1}.on(t, c),
		event{aggregate: "A", version: 1}.on(t, other),
	), "4", "1")

	s, _ = restart(t, s, o)
	c = s.Channel("eventstore.c")
	results := appendAll(t, s, at(3), at(4), at(0))
	expect(t, results, wrong(3, 3), "5", "6")
	var refused *stores.VersionError
	if !errors.As(results[0].Err, &refused) || refused.Head != 3 || refused.Version != 3 || refused.Aggregate != "A" {
		t.Fatalf("error %#v", results[0].Err)
	}
	// Subscribers see the version that the server assigned.
	for i, m := range readAll(t, s, c) {
		want := []uint64{1, 2, 3, 1, 4, 5}[i]
		if got := extract(t, m.Data).Version; got != want {
			t.Errorf("message %d has version %d, want %d", i+1, got, want)
		}
	}
	db := raw(t, o)
	if got := queryText(t, db, "SELECT MAX(event_version) FROM events WHERE channel = 'eventstore.c' AND aggregate_id = 'A' AND aggregate_type = ''"); got != "5" {
		t.Errorf("column event_version is %s", got)
	}
}

func testVersionsBeyondTheCache(t *testing.T, o stores.Options) {
	o.HeadBytes = 700 // three of them
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	const aggregates = 450 // more than one look-up takes on any database
	for round := range 3 {
		var batch []stores.Append
		for i := range aggregates {
			batch = append(batch, event{aggregate: fmt.Sprint("a", i), version: uint64(round + 1)}.on(t, c))
		}
		for _, r := range appendAll(t, s, batch...) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	results := appendAll(t, s, event{aggregate: "a7", version: 3}.on(t, c), event{aggregate: "a7", version: 4}.on(t, c))
	expect(t, results, `wrong expected version: aggregate "a7" is at version 3, event has version 3`, fmt.Sprint(3*aggregates+1))
}
