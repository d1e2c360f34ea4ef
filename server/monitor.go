package server

import (
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
)

// The states of a server, as /streaming/serverz names them.
const (
	stateStandalone = "STANDALONE" // the only server of its database, as far as it knows
	stateActive     = "FT_ACTIVE"  // serves, and others stand by
	stateStandby    = "FT_STANDBY"
	stateFailed     = "FAILED"
	stateShutdown   = "SHUTDOWN"
)

// monitor answers questions over HTTP, on the NATS server's own monitoring port: NATS Streaming's /streaming/*,
// Prometheus' /metrics, /healthz and /readyz. It lives as long as Run does; the service that it describes comes and goes with
// the lease. What it tells is in memory: no request waits for the database.
type monitor struct {
	opts    *Options
	id      string // of this server
	log     *slog.Logger
	metrics *metrics
	lags    *lags
	start   time.Time

	mu      sync.RWMutex // guards what follows
	state   string
	shared  bool     // the database has, or had, another server
	service *service // nil while this server does not serve clients
}

func newMonitor(o *Options, id string, log *slog.Logger) *monitor {
	m := &monitor{opts: o, id: id, log: log, metrics: newMetrics(), lags: newLags(), start: time.Now(), state: stateStandalone}
	if o.FTGroup != "" {
		m.standby()
	}
	m.metrics.registry.MustRegister(&gauges{monitor: m})
	return m
}

// standby says that another server serves the database's clients, or may soon.
func (m *monitor) standby() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.shared, m.service = stateStandby, true, nil
}

// serving says that the service has recovered its state and takes requests.
func (m *monitor) serving(s *service) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.service = stateStandalone, s
	if m.shared {
		m.state = stateActive
	}
}

// stopping says that this server will serve no more: err, if not nil, is why.
func (m *monitor) stopping(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.service = stateShutdown, nil
	if err != nil {
		m.state = stateFailed
	}
}

// now returns the state, and the service, nil if this server does not serve clients.
func (m *monitor) now() (string, *service) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state, m.service
}

// register adds the handlers to the NATS server's monitoring port, if it has one.
func (m *monitor) register(ns *natsd.Server) {
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

func (m *monitor) rootz(w http.ResponseWriter, _ *http.Request) {
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

func (m *monitor) isActive(w http.ResponseWriter, _ *http.Request) {
	if state, _ := m.now(); state != stateActive {
		w.WriteHeader(http.StatusNoContent)
	}
}

func (m *monitor) serverz(w http.ResponseWriter, r *http.Request) {
	m.answer(w, r, m.serverStatus())
}

func (m *monitor) storez(w http.ResponseWriter, r *http.Request) {
	_, s := m.now()
	status := storeStatus{header: m.header(s), Type: storeType(m.opts.Store), Limits: statusOfLimits(m.opts.Limits)}
	status.TotalMsgs, status.TotalBytes = s.totals()
	status.Damaged, _ = s.damagedRows()
	m.answer(w, r, status)
}

func (m *monitor) clientsz(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, s := m.now()
	if id := q.Get("client"); id != "" {
		c := s.client(id)
		if c == nil {
			http.Error(w, fmt.Sprintf("Client %s not found", id), http.StatusNotFound)
			return
		}
		m.answer(w, r, statusOfClient(c, wantsSubscriptions(q)))
		return
	}
	p := pageOf(q)
	all := s.sortedClients()
	status := clientsStatus{header: m.header(s), page: p, Clients: []clientStatus{}}
	for _, c := range cut(p, all) {
		status.Clients = append(status.Clients, statusOfClient(c, wantsSubscriptions(q)))
	}
	status.Count, status.Total = len(status.Clients), len(all)
	m.answer(w, r, status)
}

func (m *monitor) channelsz(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, s := m.now()
	if name := q.Get("channel"); name != "" {
		ch := s.channel(name)
		if ch == nil {
			http.Error(w, fmt.Sprintf("Channel %s not found", name), http.StatusNotFound)
			return
		}
		m.answer(w, r, statusOfChannel(ch, wantsSubscriptions(q)))
		return
	}
	p := pageOf(q)
	all := s.sortedChannels()
	status := channelsStatus{header: m.header(s), page: p}
	for _, ch := range cut(p, all) {
		if wantsSubscriptions(q) {
			status.Channels = append(status.Channels, statusOfChannel(ch, true))
		} else {
			status.Names = append(status.Names, ch.name)
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
func (m *monitor) answer(w http.ResponseWriter, r *http.Request, v any) {
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
