package monitor

import (
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Sample is what the server has done and what state it is in, at one moment. Numbers of a server that does not lead are 0.
type Sample struct {
	At    time.Time
	State string // as in /streaming/serverz
	// Unready says why the server does not serve clients now; nil if it does.
	Unready error
	// Since is when the process started.
	Since time.Time

	// Counters since then.
	Received, Stored, Duplicates, Delivered, Redelivered, Acks uint64
	Commits                                                    Commits

	Clients, Channels, Queued int
	Messages, Bytes           uint64
	LeaseAge                  time.Duration
}

// Commits counts batches by how long their commit took.
type Commits struct {
	Count   uint64
	Seconds float64
	// Buckets count the batches that took at most their bound.
	Buckets []Bucket
}

// Bucket is one of a histogram whose counts are cumulative.
type Bucket struct {
	Bound float64 // seconds
	Count uint64
}

// Sample never waits for the database.
func (m *Monitor) Sample() Sample {
	state, err := m.ready()
	_, t := m.current()
	s := Sample{
		At: time.Now(), State: state, Unready: err, Since: m.start,
		Received: m.metrics.received.Load(), Stored: m.metrics.stored.Load(), Duplicates: m.metrics.duplicates.Load(),
		Delivered: m.metrics.delivered.Load(), Redelivered: m.metrics.redelivered.Load(), Acks: m.metrics.acks.Load(),
		Commits: m.metrics.commits(),
	}
	if t == nil {
		return s
	}
	s.Clients, s.Channels, s.Queued = len(t.clients()), len(t.channels()), t.Clients.Unanswered()
	s.Messages, s.Bytes = t.totals()
	s.LeaseAge = t.LeaseAge()
	return s
}

// FollowingAge returns how long ago a standby that serves reads saw the database, and whether this server is one.
func (m *Monitor) FollowingAge() (age time.Duration, follows bool) {
	f := m.follower()
	if f == nil {
		return 0, false
	}
	_, age = f.Behind()
	return age, true
}

// Damaged returns damaged rows that the server met, with reasons, and the least number of all of them.
func (m *Monitor) Damaged() (rows []string, n int) { return m.Term().damagedRows() }

// Relays returns the relays to streams, with their lags.
func (m *Monitor) Relays() []RelayStatus {
	t := m.Term()
	if t == nil {
		return nil
	}
	var all []RelayStatus
	for _, r := range t.Relays {
		s := RelayStatus{Stream: r.Stream, Published: r.Published(), Failures: r.Failures(), Failing: r.Failing()}
		for _, l := range r.Lags() {
			s.Channels++
			s.LagMessages += l.Messages
			s.LagSeconds = max(s.LagSeconds, l.Seconds)
		}
		all = append(all, s)
	}
	return all
}

// RelayStatus is a relay at one moment.
type RelayStatus struct {
	Stream              string
	Published, Failures uint64
	Failing             bool
	Channels            int
	LagMessages         uint64
	LagSeconds          float64 // the greatest of its channels
}

// Lags returns the messages that each durable and queue group has not acknowledged, as far as the server leads.
func (m *Monitor) Lags() map[stores.ConsumerName]uint64 {
	t := m.Term()
	if t == nil {
		return nil
	}
	lags := make(map[stores.ConsumerName]uint64)
	for _, d := range t.Consumers.List() {
		lags[d.Name] = d.Backlog.Msgs
	}
	return lags
}

func (m *Metrics) commits() Commits {
	var out dto.Metric
	if err := m.commitSeconds.Write(&out); err != nil {
		return Commits{}
	}
	h := out.GetHistogram()
	c := Commits{Count: h.GetSampleCount(), Seconds: h.GetSampleSum()}
	for _, b := range h.GetBucket() {
		c.Buckets = append(c.Buckets, Bucket{b.GetUpperBound(), b.GetCumulativeCount()})
	}
	return c
}
