package monitor

import (
	"bytes"
	"expvar"
	"fmt"
	"net/http"
	"path"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/httpport"
)

// endpoint is a page of the port.
type endpoint struct {
	path  string
	about string // what it shows; the index says so
	serve http.HandlerFunc
}

// pages returns all that the port serves. The health checks are public and always answered; everything else is
// protected, and only so many requests are answered at a time.
func (m *Monitor) pages(ns *natsd.Server, p *Port) http.Handler {
	checks, own, nats := m.checks(ns), m.ownPages(), natsPages(ns, p)
	pages := http.NewServeMux()
	for _, e := range own {
		pages.HandleFunc(e.path, e.serve)
	}
	inboxes := inboxesIn(m.opts.InboxPrefixes)
	for _, e := range nats {
		pages.HandleFunc(e.path, func(w http.ResponseWriter, r *http.Request) { e.serve(masking{w, inboxes}, r) })
	}
	root := path.Join("/", p.basePath)
	home := index(root, []section{{"Health", checks}, {"NATS Streaming", own}, {"NATS", nats}})
	if root == "/" {
		pages.Handle("/{$}", home)
	} else {
		pages.Handle(root, home)
	}
	protected := atATime(pages)
	if m.opts.Protect != nil {
		protected = m.opts.Protect(protected)
	}
	public := http.NewServeMux()
	public.Handle("/", protected)
	for _, e := range checks {
		check := http.Handler(e.serve)
		if e.path == natsd.HealthzPath { // with a query, it may be NATS' own
			check = unlessDetailed(check, protected)
		}
		public.Handle("GET "+e.path, check)
	}
	return sameOrigin(public)
}

// checks are the health checks.
func (m *Monitor) checks(ns *natsd.Server) []endpoint {
	return []endpoint{
		{"/healthz", "whether the process works", m.healthz(ns)},
		{"/readyz", "whether this server serves clients", m.readyz},
	}
}

// ownPages are those of the streaming part.
func (m *Monitor) ownPages() []endpoint {
	return []endpoint{
		{"/metrics", "metrics for Prometheus", m.metrics.handler(m.log).ServeHTTP},
		{"/streaming", "the pages of NATS Streaming", m.rootz},
		{"/streaming/serverz", "the server: its state, uptime and totals", m.serverz},
		{"/streaming/storez", "the store: its limits, contents and damaged rows", m.storez},
		{"/streaming/clientsz", "clients; ?subs=1 for their subscriptions", m.clientsz},
		{"/streaming/channelsz", "channels; ?subs=1 for their contents and subscriptions", m.channelsz},
		{"/streaming/isFTActive", "status 200 on an active server that has standbys, else 204", m.isActive},
	}
}

// natsPages are those of NATS' own monitoring, under its base path. /debug/vars lacks the command line.
func natsPages(ns *natsd.Server, p *Port) []endpoint {
	pages := []endpoint{
		{natsd.VarzPath, "the NATS server: its options, memory and traffic", func(w http.ResponseWriter, r *http.Request) { ns.HandleVarz(varz{w, p}, r) }},
		{natsd.ConnzPath, "connections", ns.HandleConnz},
		{natsd.SubszPath, "subscriptions", ns.HandleSubsz},
		{"/subscriptionsz", "the same", ns.HandleSubsz},
		{natsd.JszPath, "JetStream: its streams, consumers and storage", ns.HandleJsz},
		{natsd.AccountzPath, "accounts", ns.HandleAccountz},
		{natsd.AccountStatzPath, "traffic of accounts", ns.HandleAccountStatz},
		{natsd.RoutezPath, "routes to servers of the cluster", ns.HandleRoutez},
		{natsd.GatewayzPath, "gateways to other clusters", ns.HandleGatewayz},
		{natsd.LeafzPath, "leaf nodes", ns.HandleLeafz},
		{natsd.RaftzPath, "Raft groups of JetStream", ns.HandleRaftz},
		{natsd.IPQueuesPath, "internal queues", ns.HandleIPQueuesz},
		{natsd.StackszPath, "stacks of all goroutines", ns.HandleStacksz},
		{natsd.ExpvarzPath, "memory statistics of Go", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			fmt.Fprintf(w, "{\n\"memstats\": %s\n}\n", expvar.Get("memstats"))
		}},
		{natsd.HealthzPath, "health as NATS sees it", ns.HandleHealthz},
	}
	for i := range pages {
		pages[i].path = path.Join("/", p.basePath, pages[i].path)
	}
	return pages
}

// varz shows the port, which NATS does not know of, in /varz.
type varz struct {
	http.ResponseWriter
	port *Port
}

// Write implements http.ResponseWriter.
func (v varz) Write(body []byte) (int, error) {
	field := "http_port"
	if v.port.Scheme() == "https" {
		field = "https_port"
	}
	shown := bytes.Replace(body, fmt.Appendf(nil, "%q: 0", field), fmt.Appendf(nil, "%q: %d", field, v.port.Addr().Port), 1)
	if _, err := v.ResponseWriter.Write(shown); err != nil {
		return 0, err
	}
	return len(body), nil
}

// callLimits bound the requests that are answered at a time.
var callLimits = httpport.Limits{Total: 64, PerPeer: 32}

// atATime bounds the requests that next answers at a time: answers may be large, and clients slow.
func atATime(next http.Handler) http.Handler {
	calls := httpport.NewPeers(callLimits)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !calls.Add(r.RemoteAddr) {
			http.Error(w, "too many requests at a time", http.StatusServiceUnavailable)
			return
		}
		defer calls.Remove(r.RemoteAddr)
		next.ServeHTTP(w, r)
	})
}

// unlessDetailed leaves a health check to protected if it asks for accounts, streams or consumers.
func unlessDetailed(check, protected http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.URL.Query() {
			switch name {
			case "js-enabled", "js-enabled-only", "js-server-only", "js-meta-only":
			default:
				protected.ServeHTTP(w, r)
				return
			}
		}
		check.ServeHTTP(w, r)
	})
}

// sameOrigin keeps web pages of other origins from reading what they cannot ask for themselves. NATS allows all of them,
// by a header, and NATS Streaming also by a script, JSONP.
func sameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("callback") {
			http.Error(w, "callback (JSONP) is not supported: it would let any web page read this one. Use a proxy on the page's own host", http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(private{w}, r)
	})
}

// private is a response without the header that allows all origins.
type private struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (p private) WriteHeader(status int) {
	p.Header().Del("Access-Control-Allow-Origin")
	p.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (p private) Write(body []byte) (int, error) {
	p.Header().Del("Access-Control-Allow-Origin")
	return p.ResponseWriter.Write(body)
}

// Unwrap is for http.ResponseController.
func (p private) Unwrap() http.ResponseWriter { return p.ResponseWriter }
