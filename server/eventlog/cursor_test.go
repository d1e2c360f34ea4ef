package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// upTo returns the sequences from first to last.
func upTo(first, last uint64) (seqs []uint64) {
	for seq := first; seq <= last; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}

// exec changes the database beside the server.
func (f *fixture) exec(t *testing.T, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+f.path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// quiet reads until no message is at hand and no read runs.
func quiet(t *testing.T, c *Cursor) (seqs []uint64) {
	t.Helper()
	for {
		msgs, err := c.Next(math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			seqs = append(seqs, m.Sequence)
		}
		switch {
		case len(msgs) > 0:
		case c.running != nil:
			<-c.running.done
		default:
			return seqs
		}
	}
}

// A cursor reads a gap once, and not again before the next commit, however often it is asked.
func TestCursorReadsAGapOnce(t *testing.T) {
	t.Parallel()
	f := setup{options: Options{TailBytes: 1}}.open(t) // holds the last message at most
	f.publish(t, "c", 100)
	ch := f.Channel("c")
	f.exec(t, "DELETE FROM Messages WHERE seq BETWEEN 11 AND 20 OR seq > 90")
	f.tails.forget(&ch.tail, 100)

	c := ch.Cursor(5)
	defer c.Close()
	if got, want := quiet(t, c), slices.Concat(upTo(5, 10), upTo(21, 90)); !slices.Equal(got, want) {
		t.Fatalf("read %v, want %v", got, want)
	}
	reads := f.counts.read()
	if reads > 3 {
		t.Errorf("%d reads", reads)
	}
	for range 100 {
		ch.wake() // as an acknowledgement, or a commit with an unknown outcome, wakes a group
		if got := quiet(t, c); len(got) > 0 {
			t.Fatalf("read %v", got)
		}
	}
	if more := f.counts.read() - reads; more > 0 {
		t.Errorf("%d reads of a known gap", more)
	}
	if got := c.Position(); got != 101 {
		t.Errorf("position %d", got)
	}
	f.publish(t, "c", 1)
	if got := sequences(t, c, 101); !slices.Equal(got, []uint64{101}) {
		t.Errorf("read %v", got)
	}
}

// A durable whose next messages were all removed by a limit queries none of them.
func TestCursorSkipsWhatLimitsRemoved(t *testing.T) {
	t.Parallel()
	f := setup{}.open(t)
	f.publish(t, "c", 50)
	ch := f.Channel("c")
	if err := f.writer.onWriter(t.Context(), func() {
		if err := f.store.Prune(t.Context(), ch.stored, 50); err != nil {
			t.Error(err)
		}
		f.tails.forget(&ch.tail, 50)
	}); err != nil {
		t.Fatal(err)
	}
	c := ch.Cursor(1)
	defer c.Close()
	for range 100 {
		if got := quiet(t, c); len(got) > 0 {
			t.Fatalf("read %v", got)
		}
	}
	if n := f.counts.read(); n > 0 {
		t.Errorf("%d reads of removed messages", n)
	}
	f.publish(t, "c", 1)
	if got := sequences(t, c, 51); !slices.Equal(got, []uint64{51}) {
		t.Errorf("read %v", got)
	}
}

// However much is taken at a time, and whatever happens meanwhile, a cursor returns each message once and in order,
// from memory or the database. It releases all memory.
func TestCursorReadsAll(t *testing.T) {
	t.Parallel()
	f := setup{options: Options{TailBytes: 3000}}.open(t)
	free := f.reading.free
	f.publish(t, "c", 50)
	ch := f.Channel("c")
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		if seed%3 == 0 {
			f.reading.free = 0 // no memory: messages not taken are read again
		} else {
			f.reading.free = free
		}
		last := ch.Info().Last
		c := ch.Cursor(1)
		var got []uint64
		for position := uint64(1); position <= last; {
			switch r.IntN(12) {
			case 0:
				c.Release()
			case 1:
				if last < 400 {
					f.publish(t, "c", 1+r.IntN(5))
					last = ch.Info().Last
				}
			case 2:
				msgs, err := c.ReadTo(t.Context(), last, 1+r.IntN(20))
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range msgs {
					got = append(got, m.Sequence)
				}
			default:
				msgs, err := c.Next(1 + r.IntN(20))
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range msgs {
					got = append(got, m.Sequence)
				}
				if len(msgs) == 0 {
					<-c.Ready()
				}
			}
			if position = uint64(len(got)) + 1; c.Position() != position {
				t.Fatalf("seed %d: position %d after %d messages", seed, c.Position(), len(got))
			}
		}
		if !slices.Equal(got, upTo(1, last)) {
			t.Fatalf("seed %d: read %v", seed, got)
		}
		c.Close()
		if want := f.reading.free; seed%3 != 0 && want != free {
			t.Fatalf("seed %d: %d batches free, want %d", seed, want, free)
		}
	}
	f.reading.free = free
}

// A failing read returns one error, then pauses. Once the database is back, reading resumes.
func TestCursorAfterAnError(t *testing.T) {
	t.Parallel()
	f := setup{options: Options{TailBytes: 1}}.open(t)
	f.publish(t, "c", 3)
	ch := f.Channel("c")
	f.tails.forget(&ch.tail, 3)
	f.exec(t, "ALTER TABLE Messages RENAME TO Elsewhere")
	c := ch.Cursor(1)
	defer c.Close()
	var err error
	for err == nil {
		<-c.Ready()
		_, err = c.Next(10)
	}
	if !errors.Is(err, stores.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := c.Next(10); err != nil {
		t.Errorf("a second error without a pause: %v", err)
	}
	f.exec(t, "ALTER TABLE Elsewhere RENAME TO Messages")
	var got []uint64
	for len(got) < 3 {
		<-c.Ready()
		msgs, err := c.Next(10)
		if err != nil {
			continue // read before the table was back
		}
		for _, m := range msgs {
			got = append(got, m.Sequence)
		}
	}
	if !slices.Equal(got, upTo(1, 3)) {
		t.Errorf("read %v", got)
	}
}

// A reader learns that its channel was deleted.
func TestCursorOfADeletedChannel(t *testing.T) {
	t.Parallel()
	f := setup{}.open(t)
	f.publish(t, "c", 1)
	ch := f.Channel("c")
	c := ch.Cursor(2)
	defer c.Close()
	quiet(t, c)
	if err := f.writer.onWriter(t.Context(), func() {
		if err := f.retention.delete(t.Context(), ch); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	<-c.Ready()
	if _, err := c.Next(1); !errors.Is(err, ErrChannelDeleted) {
		t.Error(err)
	}
	if _, err := c.ReadTo(t.Context(), 9, 1); !errors.Is(err, ErrChannelDeleted) {
		t.Error(err)
	}
	f.publish(t, "c", 1) // creates the channel again
	if got := f.Channel("c").Info().Last; got != 1 {
		t.Errorf("sequence %d in a new channel", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := f.Channel("c").Cursor(9)
	defer other.Close()
	if _, err := other.ReadTo(ctx, 9, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
