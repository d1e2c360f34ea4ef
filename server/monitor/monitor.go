// Package monitor serves HTTP on the monitoring port: /streaming/* as NATS Streaming does, /metrics for Prometheus,
// /healthz and /readyz, and the pages of the NATS server. It answers from memory, so no request waits for the database.
package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
)

// The states of a server in /streaming/serverz.
const (
	stateStandalone = "STANDALONE" // serves; no other server has appeared
	stateActive     = "FT_ACTIVE"  // serves, and may have standbys
	stateStandby    = "FT_STANDBY"
	stateFailed     = "FAILED"
	stateShutdown   = "SHUTDOWN"
)

// Options describe the server.
type Options struct {
	ServerID  string
	ClusterID string
	Version   string
	// Commit and CommitDate are those of the server's source, empty if unknown.
	Commit, CommitDate string
	// FTGroup is true for a server that is configured as one of several.
	FTGroup bool
	// External is true if NATS is not embedded.
	External bool
	// StoreType and Limits are only displayed.
	StoreType string
	Limits    eventlog.Limits
	// InboxPrefixes begin the inboxes of clients, besides _INBOX.
	InboxPrefixes []string
	// Protect, if set, wraps every page but the health checks: it lets through whom it knows.
	Protect func(http.Handler) http.Handler
	// Series bounds the channels, the durables and queue groups, and the channels of each relay that have metrics of their
	// own.
	Series int
	// LeaseExpiry is how long after the lease was last confirmed another server may take it.
	LeaseExpiry time.Duration
}

// Term holds what serves clients while the server holds the lease.
type Term struct {
	Clients   *stan.Server
	Consumers *consumers.Consumers
	Log       *eventlog.Log
	Relays    []*relay.Relay
	// LeaseAge returns the time since the database confirmed the lease.
	LeaseAge func() time.Duration
	// Connected reports whether the connections to NATS are up.
	Connected func() bool
}

// Follower is what a standby knows of the log, from which it serves reads.
type Follower interface {
	// Behind returns the position of the last event that the standby knows, and the time since it asked the database.
	Behind() (position uint64, age time.Duration)
}

// Monitor lives as long as the process. Terms come and go with the lease.
type Monitor struct {
	opts    Options
	log     *slog.Logger
	metrics *Metrics
	lags    *lags
	start   time.Time

	mu        sync.RWMutex // guards the fields below
	state     string
	shared    bool     // another server uses, or has used, the database
	term      *Term    // nil while this server does not serve clients
	following Follower // nil unless this server serves reads as a standby
}

// New returns the monitor of a starting server.
func New(o Options, log *slog.Logger) *Monitor {
	m := &Monitor{opts: o, log: log, metrics: newMetrics(log), lags: newLags(), start: time.Now(), state: stateStandalone}
	if o.FTGroup {
		m.Standby()
	}
	m.metrics.registry.MustRegister(&gauges{monitor: m})
	return m
}

// Run tells of refused requests in the log until ctx ends.
func (m *Monitor) Run(ctx context.Context) { m.metrics.refusals.run(ctx) }

// Metrics counts what this server does.
func (m *Monitor) Metrics() *Metrics { return m.metrics }

// Standby records that another server serves the database's clients, or may soon.
func (m *Monitor) Standby() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.shared, m.term = stateStandby, true, nil
}

// Following records that a standby serves reads from what it knows, or no longer if f is nil.
func (m *Monitor) Following(f Follower) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.following = f
}

// follower returns what a standby serves reads from, or nil.
func (m *Monitor) follower() Follower {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.following
}

// Serving records that the server has recovered its state and takes requests.
func (m *Monitor) Serving(t *Term) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.term = stateStandalone, t
	if m.shared {
		m.state = stateActive
	}
}

// Stopping records that this server stops. err, if any, is the reason.
func (m *Monitor) Stopping(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.term = stateShutdown, nil
	if err != nil {
		m.state = stateFailed
	}
}

// Term returns the current term, or nil if this server does not serve clients.
func (m *Monitor) Term() *Term {
	_, t := m.current()
	return t
}

// RunLags looks up the age of backlogs for scrapes until ctx ends. timeout bounds one look-up.
func (m *Monitor) RunLags(ctx context.Context, timeout time.Duration) {
	m.lags.run(ctx, timeout, m.log)
}

// LagSeconds returns the age of the first message of a group's backlog, as the metrics have it.
func (m *Monitor) LagSeconds(g *consumers.Group, b consumers.Backlog) float64 {
	return m.lags.seconds(time.Now(), namedGroup{Group: g, channel: g.Line(), Backlog: b})
}

// current returns the state and the term, which is nil if this server does not serve clients.
func (m *Monitor) current() (string, *Term) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state, m.term
}

func (m *Monitor) rootz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!DOCTYPE html>
<html lang="en">
  <head><title>NATS Streaming</title></head>
  <body>
    <a href="streaming/serverz">server</a><br/>
    <a href="streaming/storez">store</a><br/>
    <a href="streaming/clientsz">clients</a><br/>
    <a href="streaming/channelsz">channels</a><br/>
    <a href="metrics">metrics</a><br/>
  </body>
</html>
`)
}

func (m *Monitor) isActive(w http.ResponseWriter, _ *http.Request) {
	if state, _ := m.current(); state != stateActive {
		w.WriteHeader(http.StatusNoContent)
	}
}

func (m *Monitor) serverz(w http.ResponseWriter, _ *http.Request) {
	m.answer(w, m.serverStatus())
}

func (m *Monitor) storez(w http.ResponseWriter, _ *http.Request) {
	_, t := m.current()
	status := storeStatus{header: m.header(t), Type: m.opts.StoreType, Limits: statusOfLimits(m.opts.Limits)}
	status.TotalMsgs, status.TotalBytes = t.totals()
	status.Damaged, _ = t.damagedRows()
	m.answer(w, status)
}

func (m *Monitor) clientsz(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, t := m.current()
	if id := q.Get("client"); id != "" {
		c, ok := t.client(id)
		if !ok {
			http.Error(w, fmt.Sprintf("Client %s not found", id), http.StatusNotFound)
			return
		}
		m.answer(w, statusOfClient(c, wantsSubscriptions(q)))
		return
	}
	p := pageOf(q)
	all := t.clients()
	status := clientsStatus{header: m.header(t), page: p, Clients: []clientStatus{}}
	for _, c := range cut(p, all) {
		status.Clients = append(status.Clients, statusOfClient(c, wantsSubscriptions(q)))
	}
	status.Count, status.Total = len(status.Clients), len(all)
	m.answer(w, status)
}

func (m *Monitor) channelsz(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, t := m.current()
	if name := q.Get("channel"); name != "" {
		ch := t.channel(name)
		if ch == nil {
			http.Error(w, fmt.Sprintf("Channel %s not found", name), http.StatusNotFound)
			return
		}
		m.answer(w, t.statusOfChannel(ch, wantsSubscriptions(q)))
		return
	}
	p := pageOf(q)
	all := t.channels()
	status := channelsStatus{header: m.header(t), page: p}
	for _, ch := range cut(p, all) {
		if wantsSubscriptions(q) {
			status.Channels = append(status.Channels, t.statusOfChannel(ch, true))
		} else {
			status.Names = append(status.Names, ch.Name())
		}
	}
	status.Wildcards = t.patterns()
	status.Count, status.Total = len(status.Names)+len(status.Channels), len(all)
	m.answer(w, status)
}

// wantsSubscriptions reports whether the query asks for subscriptions.
func wantsSubscriptions(q url.Values) bool { return q.Get("subs") == "1" }

// defaultPage is the number of clients or channels in a page by default.
const defaultPage = 1024

// page is the part of a list that a query selects. Missing or invalid parameters have their defaults.
type page struct {
	Offset int `json:"offset"`
	Limit  int `json:"limit"`
}

func pageOf(q url.Values) page {
	p := page{Limit: defaultPage}
	if n, err := strconv.Atoi(q.Get("offset")); err == nil && n > 0 {
		p.Offset = n
	}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n > 0 {
		p.Limit = n
	}
	return p
}

// cut returns the page of a list.
func cut[T any](p page, list []T) []T {
	list = list[min(p.Offset, len(list)):]
	return list[:min(p.Limit, len(list))]
}

// answer writes v as indented JSON.
func (m *Monitor) answer(w http.ResponseWriter, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err)) // the types always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // an error means that the client has gone
}
