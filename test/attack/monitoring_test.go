package attack

import (
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// pages are those of the monitoring port.
var pages = []string{
	"/", "/varz", "/connz?subs=1&auth=1", "/routez", "/gatewayz", "/leafz", "/subsz?subs=1", "/subscriptionsz?subs=1", "/stacksz", "/accountz", "/accstatz",
	"/jsz?streams=1", "/ipqueuesz", "/raftz", "/debug/vars", "/metrics", "/streaming", "/streaming/serverz", "/streaming/storez", "/streaming/clientsz?subs=1",
	"/streaming/channelsz?subs=1", "/streaming/isFTActive", "/healthz?account=x", "/healthz/", "//varz", "/./varz", "/unknown",
}

// get returns the status and the body of a page.
func get(t *testing.T, url string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// newToken returns a new token and its hash, as the server's command prints them.
func newToken(t *testing.T) (token, hash string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), harness.Binary(), "token").Output()
	if err != nil {
		t.Fatal(err)
	}
	hash = regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(string(out))
	token = regexp.MustCompile(`[A-Za-z0-9_-]{43}`).FindString(strings.ReplaceAll(string(out), hash, ""))
	if hash == "" || token == "" {
		t.Fatalf("no token in %q", out)
	}
	return token, hash
}

// TestMonitoringRight asks for every page without the right to monitor.
func TestMonitoringRight(t *testing.T) {
	t.Parallel()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	token, hash := newToken(t)
	other, otherHash := newToken(t)
	file := write(t, "access.conf", `principals: [
  { name: dashboard, tokens: ["`+hash+`"], monitor: true }
  { name: billing, tokens: ["`+otherHash+`"], admin: ">" }
]`)
	embedded(t, "", "-m", strconv.Itoa(port), "-access_file", file)
	root := "http://127.0.0.1:" + strconv.Itoa(port)
	for _, page := range pages {
		for name, credentials := range map[string]func(*http.Request){
			"nobody":                 nil,
			"a token without":        func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+other) },
			"the hash":               func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+hash) },
			"an empty token":         func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
			"the token in the query": func(r *http.Request) { r.URL.RawQuery += "&token=" + token },
			"a user of NATS":         func(r *http.Request) { r.SetBasicAuth("admin", "secret") },
		} {
			if status, body, _ := get(t, root+page, credentials); status != http.StatusUnauthorized {
				t.Errorf("%s with %s: status %d: %.100s", page, name, status, body)
			}
		}
	}
	for _, page := range []string{"/healthz", "/readyz"} {
		if status, body, _ := get(t, root+page, nil); status != http.StatusOK {
			t.Errorf("%s: status %d: %s", page, status, body)
		}
	}
	for name, credentials := range map[string]func(*http.Request){
		"bearer": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		"basic":  func(r *http.Request) { r.SetBasicAuth("prometheus", token) },
	} {
		if status, body, _ := get(t, root+"/metrics", credentials); status != http.StatusOK {
			t.Errorf("%s: status %d: %.100s", name, status, body)
		}
	}
}

// TestMonitoringGivesNothingAway reads every page, as a web page of another origin and as a neighbour in the network would.
func TestMonitoringGivesNothingAway(t *testing.T) {
	t.Parallel()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := embedded(t, "", "-m", strconv.Itoa(port))
	cl := s.as("victim").Register("victim")
	sub := cl.Sub("victim.a")
	secrets := []string{strings.TrimPrefix(sub.AckInbox, "_INBOX.test-cluster.acks."), strings.TrimPrefix(sub.Inbox, "_INBOX."), strings.TrimPrefix(cl.HB, "_INBOX."), "password", "secret"}
	for _, page := range pages {
		_, body, header := get(t, "http://127.0.0.1:"+strconv.Itoa(port)+page, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
		if got := header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s: may be read by web pages of %s", page, got)
		}
		for _, secret := range secrets {
			if strings.Contains(body, secret) {
				t.Errorf("%s shows %q", page, secret)
			}
		}
		with := page + "?callback=steal"
		if strings.Contains(page, "?") {
			with = page + "&callback=steal"
		}
		if _, body, _ := get(t, "http://127.0.0.1:"+strconv.Itoa(port)+with, nil); strings.HasPrefix(body, "steal(") {
			t.Errorf("%s answers as a script", page)
		}
	}
}
