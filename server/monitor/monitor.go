// Package monitor answers questions over HTTP on the monitoring port of the NATS server: /streaming/* as NATS Streaming does,
// /metrics for Prometheus, /healthz and /readyz. What it tells is in memory: no request waits for the database.
package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// The states of a server, as /streaming/serverz names them.
const (
	stateStandalone = "STANDALONE" // the only server of its database, as far as it knows
	stateActive     = "FT_ACTIVE"  // serves, and others stand by
	stateStandby    = "FT_STANDBY"
	stateFailed     = "FAILED"
	stateShutdown   = "SHUTDOWN"
)

// Options say what the server is.
type Options struct {
	ServerID  string
	ClusterID string
	Version   string
	// FTGroup is true for a server that was told to be one of several.
	FTGroup bool
	// External is true if NATS is not embedded.
	External bool
	// Store and Limits are shown as they are.
	Store  stores.Options
	Limits eventlog.Limits
	// LeaseExpiry is after how long without a confirmation of the lease another server may have taken it.
	LeaseExpiry time.Duration
}

// Term is what serves clients for as long as the server holds the lease.
type Term struct {
	Clients   *stan.Server
	Consumers *consumers.Consumers
	Log       *eventlog.Log
	Relays    []*relay.Relay
	// LeaseAge is how long ago the database confirmed the lease.
	LeaseAge func() time.Duration
	// Connected reports whether the connections to NATS are up.
	Connected func() bool
}

// Monitor lives as long as the process; the term that it describes comes and goes with the lease.
type Monitor struct {
	opts    Options
	log     *slog.Logger
	metrics *Metrics
	lags    *lags
	start   time.Time

	mu     sync.RWMutex // guards what follows
	state  string
	shared bool  // the database has, or had, another server
	term   *Term // nil while this server does not serve clients
}

// New returns the monitor of a server that starts.
func New(o Options, log *slog.Logger) *Monitor {
	m := &Monitor{opts: o, log: log, metrics: newMetrics(), lags: newLags(), start: time.Now(), state: stateStandalone}
	if o.FTGroup {
		m.Standby()
	}
	m.metrics.registry.MustRegister(&gauges{monitor: m})
	return m
}

// Metrics counts what this server does.
func (m *Monitor) Metrics() *Metrics { return m.metrics }

// Standby says that another server serves the database's clients, or may soon.
func (m *Monitor) Standby() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.shared, m.term = stateStandby, true, nil
}

// Serving says that the server has recovered its state and takes requests.
func (m *Monitor) Serving(t *Term) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.term = stateStandalone, t
	if m.shared {
		m.state = stateActive
	}
}

// Stopping says that this server will serve no more: err, if not nil, is why.
func (m *Monitor) Stopping(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.term = stateShutdown, nil
	if err != nil {
		m.state = stateFailed
	}
}

// Term returns what serves clients, or nil if this server does not.
func (m *Monitor) Term() *Term {
	_, t := m.now()
	return t
}

// RunLags looks up the age of backlogs that questions ask for, until ctx ends. timeout bounds one look-up.
func (m *Monitor) RunLags(ctx context.Context, timeout time.Duration) {
	m.lags.run(ctx, timeout, m.log)
}

// now returns the state, and the term, nil if this server does not serve clients.
func (m *Monitor) now() (string, *Term) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state, m.term
}

// Register adds the handlers to the NATS server's monitoring port, if it has one.
func (m *Monitor) Register(ns *natsd.Server) {
	mux, ok := ns.HTTPHandler().(*http.ServeMux)
	if !ok {
		return // no monitoring was asked for
	}
	mux.HandleFunc("/streaming", m.rootz)
	mux.HandleFunc("/streaming/serverz", m.serverz)
	mux.HandleFunc("/streaming/storez", m.storez)
	mux.HandleFunc("/streaming/clientsz", m.clientsz)
	mux.HandleFunc("/streaming/channelsz", m.channelsz)
	mux.HandleFunc("/streaming/isFTActive", m.isActive)
	mux.Handle("/metrics", m.metrics.handler(m.log))
	m.registerHealth(mux, ns)
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
	if state, _ := m.now(); state != stateActive {
		w.WriteHeader(http.StatusNoContent)
	}
}

func (m *Monitor) serverz(w http.ResponseWriter, r *http.Request) {
	m.answer(w, r, m.serverStatus())
}

func (m *Monitor) storez(w http.ResponseWriter, r *http.Request) {
	_, t := m.now()
	status := storeStatus{header: m.header(t), Type: storeType(m.opts.Store), Limits: statusOfLimits(m.opts.Limits)}
	status.TotalMsgs, status.TotalBytes = t.totals()
	status.Damaged, _ = t.damagedRows()
	m.answer(w, r, status)
}

func (m *Monitor) clientsz(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, t := m.now()
	if id := q.Get("client"); id != "" {
		c, ok := t.client(id)
		if !ok {
			http.Error(w, fmt.Sprintf("Client %s not found", id), http.StatusNotFound)
			return
		}
		m.answer(w, r, statusOfClient(c, wantsSubscriptions(q)))
		return
	}
	p := pageOf(q)
	all := t.clients()
	status := clientsStatus{header: m.header(t), page: p, Clients: []clientStatus{}}
	for _, c := range cut(p, all) {
		status.Clients = append(status.Clients, statusOfClient(c, wantsSubscriptions(q)))
	}
	status.Count, status.Total = len(status.Clients), len(all)
	m.answer(w, r, status)
}

func (m *Monitor) channelsz(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, t := m.now()
	if name := q.Get("channel"); name != "" {
		ch := t.channel(name)
		if ch == nil {
			http.Error(w, fmt.Sprintf("Channel %s not found", name), http.StatusNotFound)
			return
		}
		m.answer(w, r, t.statusOfChannel(ch, wantsSubscriptions(q)))
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
	status.Count, status.Total = len(status.Names)+len(status.Channels), len(all)
	m.answer(w, r, status)
}

// wantsSubscriptions reports whether the query asks for subscriptions as well.
func wantsSubscriptions(q url.Values) bool { return q.Get("subs") == "1" }

// defaultPage is how many clients or channels are listed unless the query says another number.
const defaultPage = 1024

// page is the part of a list that a query asks for. What the query does not say, or says wrongly, has its default.
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

// cut returns the page's part of a list.
func cut[T any](p page, list []T) []T {
	list = list[min(p.Offset, len(list)):]
	return list[:min(p.Limit, len(list))]
}

// validCallback is what may stand before the parenthesis of JSONP: a path of identifiers. Anything else would be
// somebody's script, served in our name.
var validCallback = regexp.MustCompile(`^[A-Za-z_$][\w$.]{0,127}$`)

// answer writes v as indented JSON, or, where the query names a callback, as a call of it.
func (m *Monitor) answer(w http.ResponseWriter, r *http.Request, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err)) // cannot happen: the types have no way to fail
	}
	switch callback := r.URL.Query().Get("callback"); {
	case callback == "":
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Access-Control-Allow-Origin", "*")
	case !validCallback.MatchString(callback):
		http.Error(w, "callback is not the name of a function", http.StatusBadRequest)
		return
	default:
		w.Header().Set("Content-Type", "application/javascript")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		body = fmt.Appendf(nil, "%s(%s)", callback, body)
	}
	// An error means that the one who asked has gone.
	_, _ = w.Write(body)
}
