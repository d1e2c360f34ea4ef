package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// healthStatus is the answer of /healthz and /readyz: NATS' own fields, and the state of /streaming/serverz.
type healthStatus struct {
	Status     string `json:"status"` // "ok" or "unavailable"
	StatusCode int    `json:"status_code,omitempty"`
	State      string `json:"state"`
	Error      string `json:"error,omitempty"`
}

// registerHealth adds the handlers. A pattern with a method comes before NATS' own for /healthz.
func (m *monitor) registerHealth(mux *http.ServeMux, ns *natsd.Server) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" && m.opts.NATSURL == "" {
			ns.HandleHealthz(w, r) // who asks about JetStream means NATS
			return
		}
		state, err := m.healthy(ns)
		answerHealth(w, state, err)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		state, err := m.ready()
		if state == stateStandby && r.URL.Query().Get("standby") == "1" {
			err = nil
		}
		answerHealth(w, state, err)
	})
}

// healthy returns an error if this process can not do its work until it is started again. A database or an external NATS
// that is away is none, nor is standing by.
func (m *monitor) healthy(ns *natsd.Server) (string, error) {
	state, _ := m.now()
	if state == stateFailed {
		return state, errors.New("the server failed, and ends")
	}
	if m.opts.NATSURL == "" {
		if status := ns.Healthz(nil); status.Error != "" {
			return state, fmt.Errorf("NATS: %s", status.Error)
		}
	}
	return state, nil
}

// ready returns an error if this server does not serve clients now: it stands by, starts or stops, was not confirmed as the
// holder of the lease by the database for as long as another server would wait, or is cut off from NATS.
func (m *monitor) ready() (string, error) {
	state, s := m.now()
	switch {
	case s == nil && state == stateStandby:
		return state, errors.New("standing by: this server does not hold the lease of the database")
	case s == nil && state == stateStandalone:
		return state, errors.New("starting")
	case s == nil:
		return state, errors.New("stopping")
	}
	if silent := monotonic() - time.Duration(s.leased.Load()); silent >= leaseExpiry {
		return state, fmt.Errorf("the database has not confirmed the lease for %v", silent.Round(time.Second))
	}
	if !s.conns.general.IsConnected() || !s.conns.send.IsConnected() || !s.conns.acks.IsConnected() {
		return state, errors.New("not connected to NATS")
	}
	return state, nil
}

func answerHealth(w http.ResponseWriter, state string, err error) {
	status := healthStatus{Status: "ok", State: state}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status.Status, status.StatusCode, status.Error = "unavailable", http.StatusServiceUnavailable, err.Error()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// An error means that the one who asked has gone.
	_ = json.NewEncoder(w).Encode(status)
}
