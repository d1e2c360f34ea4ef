package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// older writes events as a server does that does not know positions.
type older struct {
	t *testing.T
	o stores.Options
}

// write stores an event as the next one of its channel.
func (w older) write(c *stores.Channel, timestamp int64, e event) {
	w.t.Helper()
	ctx := testContext(w.t)
	tx, err := raw(w.t, w.o).BeginTx(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer tx.Rollback()
	w.writeIn(ctx, tx, c, timestamp, e)
	if err := tx.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

func (w older) writeIn(ctx context.Context, tx *sql.Tx, c *stores.Channel, timestamp int64, e event) (sequence uint64) {
	w.t.Helper()
	var last, version uint64
	if err := tx.QueryRowContext(ctx, fmt.Sprintf("SELECT maxseq, (SELECT COUNT(*) FROM Messages WHERE aggregate_id = '%s' AND id = %[2]d) FROM Channels WHERE id = %[2]d", e.aggregate, c.ID())).Scan(&last, &version); err != nil {
		w.t.Fatal(err)
	}
	data := encode(w.t, &pb.MsgProto{Sequence: last + 1, Subject: c.Name(), Data: e.on(w.t, c).Payload, Timestamp: timestamp})
	for _, text := range []string{
		fmt.Sprintf("INSERT INTO Messages (id, seq, timestamp, size, data, aggregate_type, aggregate_id, event_version, event_type) VALUES (%d, %d, %d, %d, %s, '', '%s', %d, 'OrderCreated')",
			c.ID(), last+1, timestamp, len(data), blob(w.o, data), e.aggregate, version+1),
		fmt.Sprintf("UPDATE Channels SET maxseq = %d, msgs = msgs + 1, bytes = bytes + %d WHERE id = %d", last+1, len(data), c.ID()),
	} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			w.t.Fatalf("%s: %v", text, err)
		}
	}
	return last + 1
}

// writeRandom stores n events on random channels, at random times.
func (w older) writeRandom(channels map[string]*stores.Channel, names []string, random *rand.Rand, n int) (late []unnumbered) {
	w.t.Helper()
	ctx := testContext(w.t)
	tx, err := raw(w.t, w.o).BeginTx(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer tx.Rollback()
	for range n {
		c, timestamp := channels[names[random.IntN(len(names))]], random.Int64N(30)
		late = append(late, unnumbered{c, w.writeIn(ctx, tx, c, timestamp, event{aggregate: "A"}), timestamp})
	}
	if err := tx.Commit(); err != nil {
		w.t.Fatal(err)
	}
	return late
}
