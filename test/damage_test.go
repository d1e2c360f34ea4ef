package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Only what depends on a damaged row is unavailable, with an error that names the row. The server starts, and everything
// else works.
func TestDamagedRows(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		row := map[string]string{} // row IDs of channels and of their subscriptions
		for _, channel := range []string{"message", "subscription", "pending", "counter", "healthy", "gone"} {
			publish(t, sc, channel, []byte("1"), []byte("2"), []byte("3"))
			_, in := subscribe(t, sc, channel, stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode())
			in.sequences(t, 3)
			row[channel] = query(t, driver, source, fmt.Sprintf("SELECT id FROM Channels WHERE name = '%s'", channel))[0]
			row[channel+" sub"] = query(t, driver, source, "SELECT subid FROM Subscriptions WHERE id = "+row[channel])[0]
		}
		if err := sc.Close(); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		garbage := "x'ffffff'"
		if driver == "postgres" {
			garbage = `'\xffffff'`
		}
		counter := "msgs = -1"
		if driver == "mysql" { // NATS Streaming's columns are unsigned there, and may be NULL
			counter = "maxseq = NULL"
		}
		for _, text := range []string{
			"UPDATE Messages SET data = " + garbage + " WHERE seq = 2 AND id = " + row["message"],
			"UPDATE Subscriptions SET proto = " + garbage + " WHERE id = " + row["subscription"],
			"UPDATE ConsumersPending SET pending = 'garbage' WHERE consumer = " + row["pending sub"],
			"UPDATE Clients SET proto = " + garbage,
			"INSERT INTO Clients (id, hbinbox, proto) VALUES ('broken', 'nowhere', " + garbage + ")",
			"INSERT INTO Subscriptions (id, subid, proto) VALUES (4711, 4712, " + garbage + ")",
		} {
			query(t, driver, source, text)
		}
		if driver == "sqlite" {
			counter = "msgs = 'many'"
		}
		query(t, driver, source, "UPDATE Channels SET "+counter+" WHERE id = "+row["counter"])

		s = start(t, driver, source, "-m", "-1")
		damaged := []string{
			fmt.Sprintf(`table Channels with id %s is damaged: `, row["counter"]),
			fmt.Sprintf(`table Subscriptions with id %s (channel "subscription"), subid %s is damaged: `, row["subscription"], row["subscription sub"]),
			fmt.Sprintf(`table ConsumersPending with consumer %s, part 0 is damaged: `, row["pending sub"]),
			`table Clients with id "broken" is damaged: `,
		}
		for _, text := range damaged {
			s.WaitLog(t, text)
		}
		sc = s.connect("client-2")
		publish(t, sc, "healthy", []byte("4"))
		_, in := subscribe(t, sc, "healthy", stan.DeliverAllAvailable())
		in.sequences(t, 4)

		// Channel: all access is refused.
		_, err := sc.Subscribe("counter", func(*stan.Msg) {})
		refused(t, err, `stan: channel "counter" is out of service: the row of table Channels with id `)
		refused(t, sc.Publish("counter", nil), `stan: channel "counter" is out of service: the row of table Channels with id `)
		// Subscription: its name is lost, so it starts anew.
		_, in = subscribe(t, sc, "subscription", stan.DurableName("d"), stan.DeliverAllAvailable())
		in.sequences(t, 3)
		// Durable: its pending messages are unreadable, so it is refused. Others subscribe.
		publish(t, sc, "pending", []byte("4"))
		_, in = subscribe(t, sc, "pending", stan.DurableName("another"), stan.DeliverAllAvailable())
		in.sequences(t, 4)
		sc = s.reconnect(sc, "client")
		_, err = sc.Subscribe("pending", func(*stan.Msg) {}, stan.DurableName("d"))
		refused(t, err, "stan: the subscription is out of service: the row of table ConsumersPending with consumer ")
		// Message: subscribers stop before it; other subscribers and publishers continue.
		publish(t, sc, "message", []byte("4"))
		_, in = subscribe(t, sc, "message", stan.StartAtSequence(3))
		in.sequences(t, 2)
		_, in = subscribe(t, sc, "message", stan.DeliverAllAvailable())
		in.sequences(t, 1)
		text := fmt.Sprintf(`table Messages with id %s (channel "message"), seq 2 is damaged: data does not begin with its sequence`, row["message"])
		s.WaitLog(t, "seq 2 is damaged: data does not begin with its sequence")
		in.none(t)
		store := fmt.Sprint(s.json("/streaming/storez")["damaged"])
		for _, text := range append(damaged, text) {
			if !strings.Contains(store, text) {
				t.Errorf("no %q in %s", text, store)
			}
		}
		if got := s.metrics()["nats_streaming_damaged_rows"]; got < 5 {
			t.Errorf("metric %v", got)
		}

		// A channel's row is deleted while the server runs. Other channels continue.
		query(t, driver, source, "DELETE FROM Channels WHERE id = "+row["gone"])
		refused(t, sc.Publish("gone", nil), "stan: the database refused the message: table Channels has no row with id "+row["gone"])
		publish(t, sc, "healthy", []byte("5"))
	})
}

// Impossible numbers in a column also disable what depends on the row.
func TestDamagedNumbers(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		channel, sub := map[string]string{}, map[string]string{}
		for _, name := range []string{"lastsent", "seq", "full", "time", "healthy"} {
			publish(t, sc, name, []byte("1"), []byte("2"), []byte("3"))
			_, in := subscribe(t, sc, name, stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode())
			in.sequences(t, 3)
			channel[name] = query(t, driver, source, fmt.Sprintf("SELECT id FROM Channels WHERE name = '%s'", name))[0]
			sub[name] = query(t, driver, source, "SELECT subid FROM Subscriptions WHERE id = "+channel[name])[0]
		}
		if err := sc.Close(); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		wrong := map[string]string{"sqlite": "'abc'", "postgres": "-4", "mysql": "NULL"}[driver] // the columns are unsigned there
		query(t, driver, source, "UPDATE Subscriptions SET lastsent = "+wrong+" WHERE subid = "+sub["lastsent"])
		position := map[string]string{"sqlite": "lastsent = 'abc'", "postgres": "lastsent = -4", "mysql": "members = 'abc'"}[driver]
		query(t, driver, source, "UPDATE Consumers SET "+position+" WHERE consumer = "+sub["seq"])
		query(t, driver, source, "UPDATE Channels SET maxseq = 9223372036854775807 WHERE id = "+channel["full"])
		if driver == "sqlite" {
			query(t, driver, source, "UPDATE Messages SET timestamp = 'abc' WHERE seq = 2 AND id = "+channel["time"])
		}

		s = start(t, driver, source)
		s.WaitLog(t, fmt.Sprintf(`table Subscriptions with id %s (channel "lastsent"), subid %s is damaged: lastsent is `, channel["lastsent"], sub["lastsent"]))
		s.WaitLog(t, fmt.Sprintf("table Consumers with consumer %s is damaged: ", sub["seq"]))
		sc = s.connect("client")
		for name, table := range map[string]string{"lastsent": "Subscriptions", "seq": "Consumers"} {
			publish(t, sc, name, []byte("4"))
			_, err := sc.Subscribe(name, func(*stan.Msg) {}, stan.DurableName("d"))
			refused(t, err, "stan: the subscription is out of service: the row of table "+table)
		}
		refused(t, sc.Publish("full", []byte("4")), `stan: the database refused the message: channel "full" has no higher sequence`)
		if driver == "sqlite" {
			_, in := subscribe(t, sc, "time", stan.DeliverAllAvailable())
			in.sequences(t, 1)
			s.WaitLog(t, "seq 2 is damaged: sql: Scan error")
			<-time.After(2 * time.Second) // the server retries in the meantime
			if n := strings.Count(s.Log.String(), "Reading messages"); n != 1 {
				t.Errorf("the log reports the failed read %d times", n)
			}
		}
		publish(t, sc, "healthy", []byte("4"))

		// Without the server's row, its subscriptions would be lost, so the server does not start.
		s.Stop()
		query(t, driver, source, "DELETE FROM ServerInfo")
		report, _ := verify(t, driver, source)
		for table, key := range map[string]string{
			"Subscriptions": "subid", "Consumers": "consumer", "ServerInfo": "uniquerow 1",
		} {
			if !slices.ContainsFunc(report.Findings, func(f finding) bool { return f.Table == table && strings.Contains(f.Key, key) }) {
				t.Errorf("verify finds nothing in %s: %+v", table, report.Findings)
			}
		}
		s.Launch()
		s.WaitLog(t, "table ServerInfo has no row, though there are 5 channels")
		<-s.Process.Done()
		if s.Process.ExitCode() != 1 {
			t.Errorf("status %d", s.Process.ExitCode())
		}
	})
}

func refused(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), text) {
		t.Errorf("error %v, want %q", err, text)
	}
}

// reconnect closes a client and connects another one, which may share its durables.
func (s *server) reconnect(sc stan.Conn, id string) stan.Conn {
	s.t.Helper()
	if err := sc.Close(); err != nil {
		s.t.Fatal(err)
	}
	return s.connect(id)
}
