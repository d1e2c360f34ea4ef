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

// pages returns all that the port serves. The health checks are public and always answered; everything else is
// protected, and only so many requests are answered at a time.
func (m *Monitor) pages(ns *natsd.Server, p *Port) http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("/streaming", m.rootz)
	pages.HandleFunc("/streaming/serverz", m.serverz)
	pages.HandleFunc("/streaming/storez", m.storez)
	pages.HandleFunc("/streaming/clientsz", m.clientsz)
	pages.HandleFunc("/streaming/channelsz", m.channelsz)
	pages.HandleFunc("/streaming/isFTActive", m.isActive)
	pages.Handle("/metrics", m.metrics.handler(m.log))
	inboxes := inboxesIn(m.opts.InboxPrefixes)
	for name, handler := range natsPages(ns, p) {
		pages.HandleFunc(path.Join("/", p.basePath, name), func(w http.ResponseWriter, r *http.Request) {
			handler(masking{w, inboxes}, r)
		})
	}
	protected := atATime(pages)
	if m.opts.Protect != nil {
		protected = m.opts.Protect(protected)
	}
	public := http.NewServeMux()
	public.Handle("/", protected)
	public.Handle("GET /healthz", unlessDetailed(m.healthz(ns), protected))
	public.HandleFunc("GET /readyz", m.readyz)
	return sameOrigin(public)
}

// natsPages are those of NATS' own monitoring, without a base path. /debug/vars lacks the command line.
func natsPages(ns *natsd.Server, p *Port) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		natsd.RootPath:         ns.HandleRoot,
		natsd.VarzPath:         func(w http.ResponseWriter, r *http.Request) { ns.HandleVarz(varz{w, p}, r) },
		natsd.ConnzPath:        ns.HandleConnz,
		natsd.RoutezPath:       ns.HandleRoutez,
		natsd.GatewayzPath:     ns.HandleGatewayz,
		natsd.LeafzPath:        ns.HandleLeafz,
		natsd.SubszPath:        ns.HandleSubsz,
		"/subscriptionsz":      ns.HandleSubsz,
		natsd.StackszPath:      ns.HandleStacksz,
		natsd.AccountzPath:     ns.HandleAccountz,
		natsd.AccountStatzPath: ns.HandleAccountStatz,
		natsd.JszPath:          ns.HandleJsz,
		natsd.HealthzPath:      ns.HandleHealthz,
		natsd.IPQueuesPath:     ns.HandleIPQueuesz,
		natsd.RaftzPath:        ns.HandleRaftz,
		natsd.ExpvarzPath: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			fmt.Fprintf(w, "{\n\"memstats\": %s\n}\n", expvar.Get("memstats"))
		},
	}
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
