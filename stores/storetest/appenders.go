package storetest

import (
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// testAppenders: each message and each copy of it says who appended it, with one row for each appender, also after a restart.
func testAppenders(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, plain := channel(t, s, "eventstore.c"), channel(t, s, "plain")
	ann := &stores.Appender{Principal: "jörg", ClientID: "worker", Address: "192.0.2.7"}
	same, nobody := *ann, &stores.Appender{}
	long := &stores.Appender{Principal: strings.Repeat("ä", 300), ClientID: "a\x00\xff"}
	of := func(a stores.Append, by *stores.Appender) stores.Append {
		a.By = by
		return a
	}
	copied := of(event{aggregate: "a"}.on(t, c), ann)
	copied.Copies = []stores.Copy{{Channel: plain}}
	expect(t, appendAll(t, s, copied, of(event{aggregate: "a", tags: []string{"t"}}.on(t, c), &same), event{aggregate: "a"}.on(t, c), of(event{aggregate: "a"}.on(t, c), nobody)), "1", "2", "3", "4")
	expect(t, appendAll(t, s, of(stores.Append{Channel: plain}, long)), "2")
	appendAll(t, s, of(event{aggregate: "b"}.on(t, c), ann)) // a batch of one row
	batch := make([]stores.Append, 300)                      // one that needs several statements
	for i := range batch {
		batch[i] = of(event{aggregate: "c"}.on(t, c), ann)
	}
	appendAll(t, s, batch...)
	s, _ = restart(t, s, o)
	c, plain = s.Channel("eventstore.c"), s.Channel("plain")
	expect(t, appendAll(t, s, of(event{aggregate: "a"}.on(t, c), ann)), "306")
	stored := stores.Appender{Principal: strings.Repeat("ä", 127), ClientID: "a\uFFFD\uFFFD"}
	for _, it := range []struct {
		channel  *stores.Channel
		sequence uint64
		want     *stores.Appender
	}{
		{c, 1, ann}, {plain, 1, ann}, {c, 2, ann}, {c, 3, nil}, {c, 4, nobody}, {plain, 2, &stored}, {c, 5, ann}, {c, 305, ann}, {c, 306, ann}, {c, 307, nil}, {c, 1 << 63, nil},
	} {
		got, err := s.AppenderOf(testContext(t), it.channel, it.sequence)
		switch {
		case err != nil:
			t.Error(err)
		case (got == nil) != (it.want == nil), got != nil && *got != *it.want:
			t.Errorf("%s %d: %+v, want %+v", it.channel.Name(), it.sequence, got, it.want)
		}
	}
	db := raw(t, o)
	if got := queryText(t, db, "SELECT COUNT(*) FROM Appenders"); got != "3" {
		t.Errorf("%s appenders", got)
	}
	for _, text := range []string{"UPDATE Appenders SET principal = ''", "DELETE FROM Appenders", "UPDATE Messages SET appender = NULL WHERE position = 1"} {
		if _, err := db.ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "immutable") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}
