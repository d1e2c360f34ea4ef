package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// healthStatus is the body of /healthz and /readyz: NATS' fields, and the state as in /streaming/serverz.
type healthStatus struct {
	Status     string `json:"status"` // "ok" or "unavailable"
	StatusCode int    `json:"status_code,omitempty"`
	State      string `json:"state"`
	Error      string `json:"error,omitempty"`
}

// healthz answers /healthz. A query, such as about JetStream, is for NATS.
func (m *Monitor) healthz(ns *natsd.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" && !m.opts.External {
			ns.HandleHealthz(w, r)
			return
		}
		state, err := m.healthy(ns)
		answerHealth(w, state, err)
	}
}

// readyz answers /readyz.
func (m *Monitor) readyz(w http.ResponseWriter, r *http.Request) {
	state, err := m.ready()
	switch query := r.URL.Query(); {
	case state == stateStandby && query.Get("standby") == "1":
		err = nil
	case state == stateStandby && query.Get("reads") == "1":
		err = m.readable()
	}
	answerHealth(w, state, err)
}

// healthy returns an error if only a restart of the process can help. An outage of the database or of an external NATS
// is not such an error, nor is standing by.
func (m *Monitor) healthy(ns *natsd.Server) (string, error) {
	state, _ := m.current()
	if state == stateFailed {
		return state, errors.New("the server failed and is stopping")
	}
	if !m.opts.External {
		if status := ns.Healthz(nil); status.Error != "" {
			return state, fmt.Errorf("NATS: %s", status.Error)
		}
	}
	return state, nil
}

// ready returns an error if this server does not serve clients now. It may be a standby, starting or stopping, or
// without a connection to NATS. Or its lease may have expired without the database's confirmation.
func (m *Monitor) ready() (string, error) {
	state, t := m.current()
	switch {
	case t == nil && state == stateStandby:
		return state, errors.New("standing by: another server may hold the database lease")
	case t == nil && state == stateStandalone:
		return state, errors.New("starting")
	case t == nil:
		return state, errors.New("stopping")
	}
	if silent := t.LeaseAge(); silent >= m.opts.LeaseExpiry {
		return state, fmt.Errorf("the database has not confirmed the lease for %v", silent.Round(time.Second))
	}
	if !t.Connected() {
		return state, errors.New("not connected to NATS")
	}
	return state, nil
}

// readable returns an error if this standby does not serve reads, or has not seen the database for as long as a lease lasts.
func (m *Monitor) readable() error {
	f := m.follower()
	if f == nil {
		return errors.New("standing by, without serving reads")
	}
	if _, age := f.Behind(); age >= m.opts.LeaseExpiry {
		return fmt.Errorf("standing by, and the database was last seen %v ago", age.Round(time.Second))
	}
	return nil
}

func answerHealth(w http.ResponseWriter, state string, err error) {
	status := healthStatus{Status: "ok", State: state}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status.Status, status.StatusCode, status.Error = "unavailable", http.StatusServiceUnavailable, err.Error()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// An error means that the client has gone.
	_ = json.NewEncoder(w).Encode(status)
}
