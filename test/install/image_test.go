//go:build linux

package install

import (
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func trim(s string) string { return strings.TrimSpace(s) }

// volume returns a directory that belongs to the image's user.
func volume(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chown(dir, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestImage(t *testing.T) {
	t.Parallel()
	img := buildImage(t)
	if img.Config.User != "65532:65532" || img.Config.Volumes["/data"] == nil || strings.Join(img.Config.Cmd, " ") != "-m 8222" {
		t.Errorf("configuration of the image: %+v", img.Config)
	}
	t.Run("Restart", func(t *testing.T) { testRestart(t, img) })
	t.Run("Authorities", func(t *testing.T) { testAuthorities(t, img) })
	t.Run("TimeZones", func(t *testing.T) {
		c := img.run(t, volume(t), "", "-store", "SQL", "-sql_driver", "mysql",
			"-sql_source", "u@tcp(127.0.0.1:1)/x?loc="+url.QueryEscape("Europe/Berlin"))
		c.WaitLog(t, "connection refused") // so the time zone was found
	})
}

// A container keeps its events in the volume, is healthy, and ends with the status of SIGTERM.
func testRestart(t *testing.T, img *image) {
	data := volume(t)
	c := img.serve(t, data, "")
	publish(t, c.URL(), "hello")
	if out, err := c.healthcheck(); err != nil || !strings.Contains(string(out), "/healthz: ok STANDALONE") {
		t.Errorf("healthcheck: %v, %s", err, out)
	}
	c.Process.Signal(syscall.SIGSTOP)
	if out, err := c.healthcheck(); err == nil {
		t.Errorf("healthcheck of a server that hangs: %s", out)
	}
	c.Process.Signal(syscall.SIGCONT)
	if status := c.end(t, syscall.SIGTERM); status != 143 {
		t.Errorf("exit status %d after SIGTERM, want 143", status)
	}
	c = img.serve(t, data, "")
	if got := first(t, c.URL()); got != "hello" {
		t.Errorf("after a restart: got %q", got)
	}
	if status := c.end(t, syscall.SIGINT); status != 0 {
		t.Errorf("exit status %d after SIGINT, want 0", status)
	}
}

// The image trusts public authorities, or those of a file that is mounted over its own.
func testAuthorities(t *testing.T, img *image) {
	pem, err := os.ReadFile(filepath.Join(img.root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		t.Errorf("no certificates of authorities: %v", err)
	}
	ca := authority.New(t)
	id := ca.Issue("nats")
	o := &natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true}
	if o.TLSConfig, err = natsd.GenTLSConfig(&natsd.TLSConfigOpts{CertFile: id.Cert, KeyFile: id.Key}); err != nil {
		t.Fatal(err)
	}
	ns, err := natsd.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(harness.Patience) {
		t.Fatal("the NATS server did not start")
	}
	source := "tls://" + ns.Addr().String()
	if err := os.Chmod(ca.File, 0o644); err != nil {
		t.Fatal(err)
	}
	c := img.run(t, volume(t), "", "-ns", source)
	c.WaitLog(t, "unknown authority")
	img.serve(t, volume(t), ca.File, "-ns", source)
}
