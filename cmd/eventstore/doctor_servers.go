package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/config"
)

const (
	certificateWarning = 21 * 24 * time.Hour
	clockTolerance     = 2 * time.Second // the header Date has seconds
)

// servers examines each server, and then what the one that leads says.
func (x *examination) servers(ctx context.Context, t *tool, r *remote) {
	leading := 0
	for i, s := range r.servers {
		leads, answered := x.server(ctx, t, s)
		if leads {
			leading++
			r.current = i
		}
		if answered {
			x.certificate(ctx, t, s)
		}
	}
	switch {
	case leading == 0:
		x.add(fault, "leader", "no server leads: nothing can be appended", "look into the logs of the servers: is the database reachable, and NATS?")
	case leading > 1:
		x.add(fault, "leader", fmt.Sprintf("%d servers lead: they are on different databases", leading), "give the URLs of one event store")
	default:
		x.rights(ctx, r)
		x.consumers(ctx, r)
	}
	x.monitor(ctx, t, r)
}

// server asks for the health of a server, which needs no token.
func (x *examination) server(ctx context.Context, t *tool, s *server) (leads, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, min(examinationTimeout, t.flags.timeout))
	defer cancel()
	began := time.Now()
	status, date, err := healthOf(ctx, s, "")
	took := time.Since(began)
	if err != nil {
		x.add(fault, s.url, "it does not answer: "+strings.TrimSpace(err.Error()), "start it with -grpc_port, or correct the URL; https:// if it has TLS")
		return false, false
	}
	x.clock(s, date, began, took)
	if status == "SERVING" {
		x.fine(s.url, "it leads, and answers within %s", duration(took))
		return true, true
	}
	reads, _, err := healthOf(ctx, s, "reads")
	if err == nil && reads == "SERVING" {
		x.fine(s.url, "it stands by and serves reads, and answers within %s", duration(took))
	} else {
		x.fine(s.url, "it stands by, and answers within %s", duration(took))
	}
	return false, true
}

// examinationTimeout bounds how long doctor waits for a server.
const examinationTimeout = 10 * time.Second

// healthOf asks grpc.health.v1.Health by HTTP. date is when the server answered, by its clock.
func healthOf(ctx context.Context, s *server, service string) (status string, date time.Time, err error) {
	body, err := json.Marshal(map[string]string{"service": service})
	if err != nil {
		return "", date, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/grpc.health.v1.Health/Check", bytes.NewReader(body))
	if err != nil {
		return "", date, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return "", date, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return "", date, err
	}
	var answer struct{ Status string }
	if err := json.Unmarshal(text, &answer); err != nil || response.StatusCode != http.StatusOK {
		return "", date, fmt.Errorf("%s: it is not the port of the API", response.Status)
	}
	if answer.Status == "" {
		answer.Status = "SERVING_STATUS_UNKNOWN"
	}
	date, _ = http.ParseTime(response.Header.Get("Date")) // zero without one
	return strings.TrimPrefix(answer.Status, "SERVING_STATUS_"), date, nil
}

// clock compares a server's clock with that of this host.
func (x *examination) clock(s *server, date, began time.Time, took time.Duration) {
	if date.IsZero() {
		return
	}
	off := date.Add(500 * time.Millisecond).Sub(began.Add(took / 2))
	if off.Abs() > clockTolerance+took/2 {
		x.add(warning, s.url, fmt.Sprintf("its clock is %s off this host's", off.Abs().Round(100*time.Millisecond)),
			"synchronise the clocks (NTP): times of events are the server's, which --from-time and consumers rely on")
	}
}

// certificate looks at when the certificate of a server expires.
func (x *examination) certificate(ctx context.Context, t *tool, s *server) {
	u, err := url.Parse(s.url)
	if err != nil || u.Scheme != "https" {
		if err == nil && t.flags.Token+t.flags.TokenFile != "" && !isLoopback(u.Hostname()) {
			x.add(warning, s.url, "the token travels in plain text", "use TLS: -grpc_cert and -grpc_key, and https:// in the URL")
		}
		return
	}
	config, err := t.flags.tls()
	if err != nil {
		return // dial has told
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "443")
	}
	conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		x.add(fault, s.url, "TLS: "+err.Error(), "name the authority with --ca, or mend the certificate")
		return
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	left := time.Until(conn.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter)
	days := int(left.Hours() / 24)
	if left < certificateWarning {
		x.add(warning, s.url, fmt.Sprintf("its certificate expires in %d days", days), "replace its files, and send the server SIGHUP")
		return
	}
	x.fine(s.url, "its certificate is valid for %d days", days)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// rights asks what the token may do.
func (x *examination) rights(ctx context.Context, r *remote) {
	n := 0
	err := r.channels(ctx, "", func(*eventstorev1.Channel) error {
		n++
		return nil
	})
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated:
		x.add(fault, "token", "the server does not accept it", "give a token with --token-file: nats-streaming-server token makes one, and a line of the access file admits it")
		return
	}
	if err != nil {
		x.add(fault, "channels", textOf(err), "look into the log of the server")
		return
	}
	x.fine("token", "it may use %d event channels", n)
	err = r.call(ctx, func(ctx context.Context, s *server) error {
		_, err := s.admin.ListClients(ctx, &eventstorev1.ListClientsRequest{PageSize: 1})
		return err
	})
	if connect.CodeOf(err) == connect.CodePermissionDenied {
		x.fine("token", "it may not administer all channels, so this examination leaves out what needs that")
	} else if err == nil {
		x.fine("token", "it may administer all channels")
		x.keys(ctx, r)
	}
}

// keys asks whether fields can be encrypted and decrypted, if there are any.
func (x *examination) keys(ctx context.Context, r *remote) {
	var answer *eventstorev1.ListKeysResponse
	err := r.call(ctx, func(ctx context.Context, s *server) (err error) {
		answer, err = s.admin.ListKeys(ctx, &eventstorev1.ListKeysRequest{PageSize: 1})
		return err
	})
	switch code := connect.CodeOf(err); {
	case err == nil && answer.GetLocked() == "":
		x.fine("keys", "fields can be encrypted and decrypted")
	case err == nil:
		x.add(fault, "keys", "nothing can be encrypted or decrypted: "+answer.GetLocked(), "bring the master key back: docs/operate/personal-data.md")
	case code != connect.CodeFailedPrecondition && code != connect.CodeUnimplemented: // it has none
		x.add(fault, "keys", textOf(err), "look into the log of the server, and at the database of the keys")
	}
}

// consumers looks for consumers that do not get on.
func (x *examination) consumers(ctx context.Context, r *remote) {
	n := 0
	err := r.consumers(ctx, "", func(c *eventstorev1.Consumer) error {
		n++
		name := "consumer " + consumerText(c.GetChannel(), c.GetClient(), c.GetName())
		show := fmt.Sprintf("eventstore consumers show %s %s", c.GetChannel(), c.GetName())
		switch {
		case c.GetStalledAt() > 0:
			x.add(fault, name, fmt.Sprintf("it is stalled at message %d", c.GetStalledAt()), "find out why the message fails, then eventstore consumers skip, or change max_deliveries")
		case c.GetSettings().GetPaused() && c.GetLagMessages() > 0:
			x.add(warning, name, fmt.Sprintf("it is paused, with %s messages to come", number(c.GetLagMessages())), "eventstore consumers resume, if that is no longer wanted")
		case c.GetLagSeconds() > 3600 && active(c) == 0:
			x.add(warning, name, fmt.Sprintf("nobody is there, and it is %s behind", ageOf(c.GetLagSeconds())), "start its clients, or eventstore consumers drop if it is not used any more")
		case c.GetLagSeconds() > 300:
			x.add(warning, name, fmt.Sprintf("it is %s messages and %s behind", number(c.GetLagMessages()), ageOf(c.GetLagSeconds())), show+" tells what its members hold")
		}
		if c.GetParked() > 0 {
			x.add(warning, name, fmt.Sprintf("%s messages are parked", number(c.GetParked())), "eventstore consumers parked lists them: replay or discard them")
		}
		return nil
	})
	if err == nil {
		x.fine("consumers", "%d were examined", n)
	} else if connect.CodeOf(err) != connect.CodePermissionDenied {
		x.add(fault, "consumers", textOf(err), "look into the log of the server")
	}
}

// monitor asks the monitoring port for what the API does not tell.
func (x *examination) monitor(ctx context.Context, t *tool, r *remote) {
	ctx, cancel := context.WithTimeout(ctx, examinationTimeout)
	defer cancel()
	m, err := t.flags.metrics(ctx, r.servers[r.current%len(r.servers)])
	switch {
	case errors.Is(err, errNoMonitor):
		x.fine("monitoring", "it was not asked: --monitor names its port")
		return
	case err != nil:
		x.add(warning, "monitoring", textOf(err), "start the server with -m PORT, or correct --monitor")
		return
	}
	if info := m["info"].GetMetric(); len(info) > 0 {
		server, own := label(info[0], "version"), config.CurrentBuild().Version
		if server != own {
			x.add(warning, "version", fmt.Sprintf("the server has %s, this tool %s", server, own), "use the tool of the server's release: a newer one may send what the server does not know")
		} else {
			x.fine("version", "server and tool have %s", own)
		}
	}
	if locked, there := m.value("keys_locked"); there && locked > 0 {
		x.add(fault, "keys", "nothing can be encrypted or decrypted", "the log of the server says why: is the master key there, and the database of the keys?")
	}
	if n := m.sum("undecipherable_fields_total"); n > 0 {
		x.add(warning, "keys", fmt.Sprintf("%.0f encrypted values did not decrypt although there is a key", n), "was a database of keys restored, or were ciphertexts moved? docs/operate/personal-data.md")
	}
	if n := m.sum("damaged_rows"); n > 0 {
		x.add(fault, "database", fmt.Sprintf("%.0f rows are damaged", n), "eventstore verify --dsn lists them; docs/operate/operations.md says what to do")
	}
	if behind := m.sum("clock_behind_seconds"); behind > 1 {
		x.add(warning, "clock", fmt.Sprintf("the server's clock is %.0f s behind its newest message", behind), "synchronise it (NTP): until it has caught up, new messages get that time")
	}
	if connected, there := m.value("connected"); there && connected == 0 {
		x.add(fault, "NATS", "the server is not connected", "look at the NATS servers that -ns names")
	}
	if age, there := m.value("lease_age_seconds"); there && age > 3 {
		x.add(warning, "database", fmt.Sprintf("it has not confirmed the lease for %.1f s", age), "is it overloaded or away? After the expiry another server leads")
	}
	for _, s := range m["relay_failing"].GetMetric() {
		if valueOf(s) > 0 {
			x.add(fault, "relay to stream "+label(s, "stream"), "it waits after an error", "the log of the server says which")
		}
	}
	for _, s := range m["certificate_expiry_timestamp_seconds"].GetMetric() {
		if left := time.Until(time.Unix(int64(valueOf(s)), 0)); left < certificateWarning {
			x.add(warning, "certificate of "+label(s, "port"), fmt.Sprintf("it expires in %d days", int(left.Hours()/24)), "replace its files, and send the server SIGHUP")
		}
	}
}
