package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
)

const (
	manyUnacked = 50_000
	smallPacket = 64 << 10 // less than the sequences of manyUnacked take
)

// A subscriber with very many unacknowledged messages costs what changes, and keeps the state of no other from being stored,
// however little the database takes at once.
func TestManyUnackedMessages(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := alone(t, driver)
			if driver == "mysql" {
				query(t, driver, source, fmt.Sprintf("SET GLOBAL max_allowed_packet = %d", smallPacket))
			}
			s := measured(t, driver, source, "-c", write(t, "server.conf", "max_payload: 16384\n"))
			publishAll(t, s.busy(), manyUnacked, func(int) (string, []byte) { return "many", nil })
			received := hoard(t, s.connect("hoarder", stan.SetConnectionLostHandler(func(stan.Conn, error) {})), "many")
			for i := 0; i < len(received)/2; i += 2 { // what is left is no range
				if err := received[i].Ack(); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, s.connect("publisher"), "few", 6)

			// Others' acknowledgements are stored, when the server stops and before.
			next := uint64(1)
			for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
				sc := s.connect("client", stan.SetConnectionLostHandler(func(stan.Conn, error) {}))
				_, in := subscribe(t, sc, "few", stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Hour))
				for range 2 {
					m := in.next(t)
					if m.Sequence != next {
						t.Errorf("before %v message %d comes, want %d", end, m.Sequence, next)
					}
					if err := m.Ack(); err != nil {
						t.Fatal(err)
					}
					next = m.Sequence + 1
				}
				if err := sc.NatsConn().Flush(); err != nil {
					t.Fatal(err)
				}
				if end == syscall.SIGKILL {
					time.Sleep(3 * time.Second) // what was acknowledged in the last moments may come again
				}
				sc.NatsConn().Close()
				s.Signal(end)
				s.Restart()
			}
		})
	}
}

// What a subscriber with very many unacknowledged messages has the database write is what changes.
func TestWritesBesideUnackedMessages(t *testing.T) {
	t.Parallel()
	const (
		acks  = 60
		pause = 50 * time.Millisecond
		bound = 512 << 10 // bytes in a second
	)
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := alone(t, driver)
			s := measured(t, driver, source)
			publishAll(t, s.busy(), manyUnacked, func(int) (string, []byte) { return "many", nil })
			received := hoard(t, s.connect("hoarder"), "many")
			for i := 0; i < len(received); i += 2 { // what is left is no range
				if err := received[i].Ack(); err != nil {
					t.Fatal(err)
				}
			}
			quiet := s.written() - 1
			eventually(t, func() bool { // what is still to be written of that
				before := quiet
				time.Sleep(time.Second)
				quiet = s.written()
				return quiet-before < bound/8
			})
			begin := time.Now()
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for i := range acks {
				if err := received[2*i+1].Ack(); err != nil {
					t.Fatal(err)
				}
				<-tick.C
			}
			rate := float64(s.written()-quiet) / time.Since(begin).Seconds()
			t.Logf("%s: %d acks beside %d unacked messages write %.0f kB in a second", driver, acks, len(received)/2, rate/1e3)
			if rate > bound {
				t.Errorf("%.0f kB are written in a second, want less than %d", rate/1e3, bound/1000)
			}
		})
	}
}

// hoard has a durable receive messages that it does not acknowledge: as many as the server allows, at most manyUnacked.
func hoard(t *testing.T, sc stan.Conn, channel string) []*stan.Msg {
	t.Helper()
	in := make(inbox, manyUnacked)
	n := manyUnacked
	for {
		_, err := sc.Subscribe(channel, func(m *stan.Msg) { in <- m }, stan.DeliverAllAvailable(), stan.DurableName("hoard"),
			stan.MaxInflight(n), stan.SetManualAckMode(), stan.AckWait(time.Hour))
		if err == nil {
			break
		}
		if n /= 2; n < 1000 || !strings.Contains(err.Error(), "nflight") {
			t.Fatalf("subscribe: %v", err)
		}
	}
	received := make([]*stan.Msg, n)
	for i := range received {
		received[i] = in.next(t)
	}
	return received
}

// written is how many bytes the database has written so far to its log, on SQLite the server to its files.
func (s *server) written() int {
	s.t.Helper()
	switch s.driver {
	case "postgres":
		return figure(s.t, query(s.t, s.driver, s.source, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")[0])
	case "mysql":
		return status(s.t, s.source, "Innodb_lsn_current")
	}
	_, rest, _ := strings.Cut(s.proc("io"), "wchar: ")
	return figure(s.t, strings.Fields(rest)[0])
}
