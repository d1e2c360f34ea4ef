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
	smallPacket = 64 << 10 // less than the sequences of manyUnacked need
)

// A subscriber with very many unacknowledged messages costs only what changes. It does not block storing the state of
// others, even with a small packet limit.
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
			for i := 0; i < len(received)/2; i += 2 { // the remaining sequences form no ranges
				if err := received[i].Ack(); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, s.connect("publisher"), "few", 6)

			// The acknowledgements of another client are stored, both at a stop and before.
			next := uint64(1)
			for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
				sc := s.connect("client", stan.SetConnectionLostHandler(func(stan.Conn, error) {}))
				_, in := subscribe(t, sc, "few", stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Hour))
				for range 2 {
					m := in.next(t)
					if m.Sequence != next {
						t.Errorf("before %v: received message %d, want %d", end, m.Sequence, next)
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
					// A crash may lose recent acknowledgements, so wait until these are stored: the rest, up to 6, is pending.
					stored := fmt.Sprintf("SELECT COUNT(*) FROM ConsumersPending p JOIN Consumers c ON c.consumer = p.consumer JOIN Channels ch ON ch.id = c.id WHERE ch.name = 'few' AND p.pending LIKE '%%,%d,6]%%'", next)
					eventually(t, func() bool { return query(t, driver, source, stored)[0] == "1" })
				}
				sc.NatsConn().Close()
				s.Signal(end)
				s.Restart()
			}
		})
	}
}

// With very many unacknowledged messages, the database writes only what changes.
func TestWritesBesideUnackedMessages(t *testing.T) {
	t.Parallel()
	const (
		acks  = 60
		pause = 50 * time.Millisecond
		bound = 512 << 10 // bytes per second
	)
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := alone(t, driver)
			s := measured(t, driver, source)
			publishAll(t, s.busy(), manyUnacked, func(int) (string, []byte) { return "many", nil })
			received := hoard(t, s.connect("hoarder"), "many")
			for i := 0; i < len(received); i += 2 { // the remaining sequences form no ranges
				if err := received[i].Ack(); err != nil {
					t.Fatal(err)
				}
			}
			quiet := s.written() - 1
			eventually(t, func() bool { // wait until the acknowledgements are written
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
			t.Logf("%s: %d acks with %d unacked messages write %.0f kB per second", driver, acks, len(received)/2, rate/1e3)
			if rate > bound {
				t.Errorf("%.0f kB written per second, want at most %d", rate/1e3, bound/1000)
			}
		})
	}
}

// hoard subscribes a durable and receives messages without acknowledging: as many as the server allows, at most
// manyUnacked.
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

// written returns the bytes that the database has written to its log; on SQLite, those that the server has written to
// files.
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
