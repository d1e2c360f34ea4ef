package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// marker is in every secret of these tests.
const marker = "Geheim7"

// pages are what a server shows of itself.
var pages = []string{
	"/", "/varz", "/connz?auth=1&subs=detail", "/routez", "/gatewayz", "/leafz", "/subsz?subs=1", "/accountz", "/accstatz", "/jsz", "/healthz", "/ipqueuesz", "/expvarz",
	"/debug/vars", "/streaming", "/streaming/serverz", "/streaming/storez", "/streaming/clientsz?subs=1", "/streaming/channelsz?subs=1", "/metrics", "/readyz",
}

// showsNothing checks that neither the log nor a page shows one of the secrets. With external NATS there is no profiling port.
func (s *server) showsNothing(profile int, secrets ...string) {
	s.t.Helper()
	check := func(what, text string) {
		for _, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				s.t.Errorf("%s shows %q: %s", what, secret, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
	for _, page := range pages {
		body, _ := s.get(page)
		check(page, body)
	}
	check("the log", s.Log.String())
	if profile == 0 {
		return
	}
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/cmdline", profile))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "-grpc_port") {
		s.t.Fatalf("/debug/pprof/cmdline: %s %v", body, err)
	}
	check("/debug/pprof/cmdline", string(body))
}

// TestSecrets: no page, no line of the log and no error shows a secret, however it was given.
func TestSecrets(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		profile, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		more := []string{"-m", "-1", "-profile", strconv.Itoa(profile), "-DV", "-SDV", "-grpc_port", "-1"}
		exercise := func(s *server, profile int, login ...nats.Option) {
			t.Helper()
			works(t, s, "client", login...)
			s.Process.Signal(syscall.SIGHUP)
			s.WaitLog(t, "Reloaded the access file")
			s.showsNothing(profile, marker, ":secret@")
		}
		t.Run("flags", func(t *testing.T) {
			exercise(start(t, driver, source, append(more, "-grpc_token", marker, "--auth="+marker)...), profile, nats.Token(marker))
		})
		t.Run("user", func(t *testing.T) {
			exercise(start(t, driver, source, append(more, "--grpc_token="+marker, "-user", "a", "-pass", marker)...), profile, nats.UserInfo("a", marker))
		})
		t.Run("files", func(t *testing.T) {
			conf := write(t, "server.conf", fmt.Sprintf(`authorization { user: a, password: %s }
				streaming { grpc { token_file: %q }, sql { source_file: %q } }`, marker, write(t, "token", marker+"\n"), write(t, "source", source)))
			s := prepare(t, harness.Binary(), append(more, "-c", conf, "-store", "SQL", "-sql_driver", driver)...)
			s.Launch()
			s.Ready()
			exercise(s, profile, nats.UserInfo("a", marker))
		})
		t.Run("external", func(t *testing.T) {
			port := startNATS(t, "authorization { user: a, password: "+marker+" }")
			s := start(t, driver, source, append(more, "-grpc_token", marker, "-ns", fmt.Sprintf("nats://a:%s@127.0.0.1:1,nats://a:%s@127.0.0.1:%d", marker, marker, port))...)
			s.Port = port
			exercise(s, 0, nats.UserInfo("a", marker))
		})
	})
}

// TestSecretsInErrors: a start that fails says why without a secret.
func TestSecretsInErrors(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	sql := func(driver, source string, args ...string) []string {
		return append([]string{"-a", "127.0.0.1", "-p", "-1", "-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)
	}
	for name, it := range map[string]struct {
		args []string
		want string
	}{
		"postgres, unreachable":    {sql("postgres", "postgres://a:"+marker+"@"+closed+"/db?sslmode=disable"), "connection refused"},
		"postgres, option":         {sql("postgres", "host=h password="+marker+" sslmode=maybe"), "sslmode"},
		"postgres, escaping":       {sql("postgres", "postgres://a:"+marker+"/x@"+closed+"/db"), "invalid source"},
		"postgres, splitting":      {sql("postgres", "host=h password=x "+marker), "invalid source"},
		"mysql, unreachable":       {sql("mysql", "a:"+marker+"@tcp("+closed+")/db"), "connection refused"},
		"mysql, option":            {sql("mysql", "a:"+marker+"@tcp("+closed+")/db?parseTime=maybe"), "maybe"},
		"mysql, no database":       {sql("mysql", "a:"+marker+"@tcp("+closed+")"), "invalid source"},
		"mysql, no network":        {sql("mysql", "a:"+marker), "invalid source"},
		"migrate":                  {append([]string{"migrate"}, sql("postgres", "postgres://a:"+marker+"@"+closed+"/db?sslmode=disable")...), "connection refused"},
		"verify":                   {append([]string{"verify"}, sql("mysql", "a:"+marker+"@tcp("+closed+")/db")...), "connection refused"},
		"external, unreachable":    {[]string{"-st", "memory", "-ns", "nats://a:" + marker + "@" + closed}, "connect to NATS"},
		"external, not a URL":      {[]string{"-st", "memory", "-ns", "nats://a:" + marker + "@h:port"}, "invalid port"},
		"routes":                   {[]string{"-st", "memory", "-cluster", "nats://a:" + marker + "@h:port"}, "invalid port"},
		"configuration, route":     {[]string{"-c", write(t, "a.conf", `cluster { routes: ["nats://a:`+marker+`@h:port"] }`)}, "error parsing route url"},
		"configuration, type":      {[]string{"-c", write(t, "b.conf", `streaming { pass: [`+marker+`, x] }`)}, "to be string, got slice"},
		"configuration, twice":     {[]string{"-c", write(t, "c.conf", `streaming { pass: `+marker+`, pass_file: x }`)}, "both given"},
		"configuration, reference": {[]string{"-c", write(t, "d.conf", `streaming { store: file, pass: `+marker+`, encryption_key: `+marker+` }`)}, "not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, status := runBinary(t, it.args...)
			if status == 0 || !strings.Contains(out, it.want) {
				t.Errorf("status %d, output %s, want %s", status, out, it.want)
			}
			if strings.Contains(out, marker) {
				t.Errorf("the output shows the secret: %s", out)
			}
		})
	}
}
