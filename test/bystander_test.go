package test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go"
)

const (
	// How much longer a bystander's publishes may take, in the median. The machine's processors serve the other
	// clients, too, so this is coarse.
	slowerTimes = 20
	slowerBy    = 10 * time.Millisecond

	interval = 5 * time.Millisecond // between two publishes of the bystander, whatever became of the one before
)

// heavyClients are clients that have much for the server to do. What one does first is not measured; what it returns is, until
// that returns.
var heavyClients = []struct {
	name    string
	long    bool // only with -long: with the race detector in the clients, these are the slow part
	prepare func(t *testing.T, s *server) (run func())
}{
	{"new channels", false, newChannels},
	{"metadata", false, largeMetadata},
	{"full channel", false, fullChannel},
	{"replays", true, replayAll},
	{"unacked", false, unackedMessages},
}

// What one client has the server do costs another little: publishes of a bystander are measured alone, and beside each kind of
// heavy client. With -long on every database, and compared.
func TestBystander(t *testing.T) {
	drivers := []string{"postgres"}
	if *long {
		drivers = []string{"sqlite", "postgres", "mysql"}
	}
	for _, driver := range drivers {
		source := alone(t, driver)
		s := measured(t, driver, source, "-c", config(t, `limits { channels { "full": { max_msgs: 1000 } } }`))
		sc := s.connect("bystander", stan.MaxPubAcksInflight(1<<16), stan.PubAckWait(2*patience))
		bystand(t, sc, time.After(time.Second)) // what is new is not what is measured
		quiet := median(bystand(t, sc, time.After(2*time.Second)))
		for _, heavy := range heavyClients {
			if heavy.long && !*long {
				continue
			}
			t.Run(driver+"/"+heavy.name, func(t *testing.T) {
				run := heavy.prepare(t, s)
				done := make(chan time.Time)
				go func() {
					defer close(done)
					run()
				}()
				took := bystand(t, sc, done)
				m := median(took)
				t.Logf("%s beside %s: median of %d %v, %.1f times the %v alone; longest %v", driver, heavy.name, len(took), m, float64(m)/float64(quiet), quiet, slices.Max(took))
				if *long && m > slowerTimes*quiet+slowerBy { // what CI runs on may pause at any time
					t.Errorf("a publish takes %v in the median, %v without others", m, quiet)
				}
			})
		}
		s.Stop()
	}
}

// bystand publishes at fixed times until done, and returns how long after its time each publish was acknowledged: one that cannot be
// sent in time, since others wait, has waited as well.
func bystand(t *testing.T, sc stan.Conn, done <-chan time.Time) (took []time.Duration) {
	t.Helper()
	const fewest = 20
	var mu sync.Mutex // guards took
	var answered sync.WaitGroup
	for n, due := 0, time.Now(); ; n, due = n+1, due.Add(interval) {
		time.Sleep(time.Until(due))
		if n >= fewest {
			select {
			case <-done:
				answered.Wait()
				return took
			default:
			}
		}
		answered.Add(1)
		if _, err := sc.PublishAsync("eventstore.bystander", event(t, "A", "T"), func(_ string, err error) {
			defer answered.Done()
			if err != nil {
				t.Errorf("bystander: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(due))
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// publishAll publishes n messages without waiting for each, and returns when all are answered.
func publishAll(t *testing.T, sc stan.Conn, n int, message func(i int) (channel string, data []byte)) {
	t.Helper()
	var answered sync.WaitGroup
	for i := range n {
		answered.Add(1)
		channel, data := message(i)
		if _, err := sc.PublishAsync(channel, data, func(_ string, err error) {
			defer answered.Done()
			if err != nil {
				t.Errorf("publish to %s: %v", channel, err)
			}
		}); err != nil {
			t.Error(err)
			answered.Done()
		}
	}
	answered.Wait()
}

// busy connects a client that publishes without waiting.
func (s *server) busy() stan.Conn {
	s.t.Helper()
	return s.connect("heavy-"+nuid.Next(), stan.MaxPubAcksInflight(4096), stan.PubAckWait(2*patience))
}

func newChannels(t *testing.T, s *server) func() {
	sc := s.busy()
	return func() {
		publishAll(t, sc, 2000, func(i int) (string, []byte) {
			return fmt.Sprintf("eventstore.new-%d", i), event(t, fmt.Sprint("A", i), "T")
		})
	}
}

// largeMetadata publishes events of 500,000 entries of metadata without key and value, a megabyte each.
func largeMetadata(t *testing.T, s *server) func() {
	sc := s.busy()
	data := append(event(t, "M", "T"), bytes.Repeat(field(8, ""), 500_000)...)
	return func() {
		var refused sync.WaitGroup
		for range 20 {
			refused.Add(1)
			if _, err := sc.PublishAsync("eventstore.metadata", data, func(_ string, err error) {
				defer refused.Done()
				if err == nil {
					t.Error("an event with 500,000 entries of metadata is stored")
				}
			}); err != nil {
				t.Error(err)
				refused.Done()
			}
		}
		refused.Wait()
	}
}

// fullChannel has eight clients publish, each one message after the other.
func fullChannel(t *testing.T, s *server) func() {
	sc := s.busy()
	publishAll(t, sc, 1000, func(int) (string, []byte) { return "full", nil })
	return func() {
		var publishing sync.WaitGroup
		for range 8 {
			publishing.Go(func() {
				for range 250 {
					if err := sc.Publish("full", nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		publishing.Wait()
	}
}

const replayed = 20_000

func replayAll(t *testing.T, s *server) func() {
	sc := s.busy()
	publishAll(t, sc, replayed, func(int) (string, []byte) { return "replayed", make([]byte, 200) })
	return func() {
		var reading sync.WaitGroup
		for range 20 {
			_, in := subscribe(t, sc, "replayed", stan.DeliverAllAvailable(), stan.MaxInflight(1024))
			reading.Go(func() {
				for range replayed {
					in.next(t)
				}
			})
		}
		reading.Wait()
	}
}

// unackedMessages has a subscriber that acknowledges now and then one of very many.
func unackedMessages(t *testing.T, s *server) func() {
	sc := s.busy()
	publishAll(t, sc, replayed, func(int) (string, []byte) { return "unacked", nil })
	_, in := subscribe(t, sc, "unacked", stan.DeliverAllAvailable(), stan.DurableName("d"), stan.MaxInflight(replayed), stan.SetManualAckMode(), stan.AckWait(time.Hour))
	received := make([]*stan.Msg, replayed)
	for i := range received {
		received[i] = in.next(t)
	}
	return func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range 150 {
			if err := received[2*i].Ack(); err != nil {
				t.Error(err)
			}
			<-tick.C
		}
	}
}

// A publish to a channel that has as many messages as it may costs what one to any other does: what goes is removed beside it.
func TestFullChannelCostsNoMore(t *testing.T) {
	t.Parallel()
	const publishes = 300
	for _, driver := range []string{"postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := alone(t, driver)
			s := measured(t, driver, source, "-c", config(t, `limits { channels { "full": { max_msgs: 100 } } }`))
			sc := s.connect("client")
			cost := func(channel string) (committed, took float64) {
				fill(t, sc, channel, 100)
				before, begin := writes(t, driver, source), time.Now()
				fill(t, sc, channel, publishes)
				elapsed := time.Since(begin)
				return float64(writes(t, driver, source)-before) / publishes, elapsed.Seconds() / publishes
			}
			plain, quick := cost("plain")
			full, slow := cost("full")
			t.Logf("%s: %.2f commits and %.2f ms for each publish, %.2f and %.2f ms where the channel is full", driver, plain, 1e3*quick, full, 1e3*slow)
			if full > 1.5*plain {
				t.Errorf("%.2f commits for each publish to a full channel, %.2f to another", full, plain)
			}
			eventually(t, func() bool {
				return query(t, driver, source, "SELECT COUNT(*) FROM Messages m JOIN Channels c ON c.id = m.id WHERE c.name = 'full'")[0] == "100"
			})
		})
	}
}
