package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

var (
	secureMonitorLine = regexp.MustCompile(`Starting https monitor on (\S+)`)
	secureAPILine     = regexp.MustCompile(`API listens on https://(\S+)`)
)

// handshake connects with TLS; the port of NATS begins with a line.
func handshake(t *testing.T, address string, nats bool, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if nats {
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	secured := tls.Client(conn, config)
	return secured, secured.Handshake()
}

// The monitoring port stays where it is until a restart, and a reload says so.
func TestReloadOfMonitoringPort(t *testing.T) {
	t.Parallel()
	file := write(t, "server.conf", "http: \"127.0.0.1:-1\"\nstreaming {}\n")
	s := start(t, "sqlite", databases.SQLite(t), "-c", file)
	if err := os.WriteFile(file, []byte("http: \"127.0.0.1:8222\"\nstreaming {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Process.Signal(syscall.SIGHUP)
	s.WaitLog(t, "Reload: these settings changed and need a restart: the monitoring port")
	if log := s.Log.String(); strings.Contains(log, "Disconnected from NATS") {
		t.Error(log)
	}
}

// Every port prefers TLS 1.3, and with TLS 1.2 refuses CBC. Certificates are those of the last reload.
func TestTLSOfPorts(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	first, second := ca.Issue("first"), ca.Issue("second")
	conf := func(id authority.Identity) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\nhttps: \"127.0.0.1:-1\"\n", id.Cert, id.Key, ca.File)
	}
	file := write(t, "nats.conf", conf(first))
	s := start(t, "sqlite", databases.SQLite(t), "-c", file, "-grpc_port", "-1", "-grpc_cert", first.Cert, "-grpc_key", first.Key, "-grpc_token", "t")
	monitor := secureMonitorLine.FindStringSubmatch(s.Log.String())[1]
	client, err := tls.LoadX509KeyPair(first.Cert, first.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"NATS": strings.TrimPrefix(s.URL(), "nats://"), "monitoring": monitor, "API": secureAPILine.FindStringSubmatch(s.Log.String())[1],
	} {
		config := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{client}}
		conn, err := handshake(t, address, name == "NATS", config)
		if err != nil || conn.ConnectionState().Version != tls.VersionTLS13 {
			t.Errorf("%s: %v, version %x", name, err, conn.ConnectionState().Version)
		}
		config.MaxVersion = tls.VersionTLS12
		if _, err := handshake(t, address, name == "NATS", config); err != nil {
			t.Errorf("%s with TLS 1.2: %v", name, err)
		}
		config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
		if _, err := handshake(t, address, name == "NATS", config); err == nil {
			t.Errorf("%s accepts CBC", name)
		}
	}
	// Monitoring demands no certificate of its clients.
	served := func() string {
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, DisableKeepAlives: true}}
		resp, err := web.Get("https://" + monitor + "/streaming/serverz")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.Status + " " + resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "200 OK first" {
		t.Errorf("monitoring: %s", got)
	}
	if err := os.WriteFile(file, []byte(conf(second)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Process.Signal(syscall.SIGHUP)
	s.WaitLog(t, "Reloaded server configuration")
	for deadline := time.Now().Add(patience); served() != "200 OK second"; { // the line comes shortly before it is so
		if time.Now().After(deadline) {
			t.Fatalf("after a reload: %s", served())
		}
	}
}
