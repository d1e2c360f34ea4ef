package tool_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestRedirects has a server that lies send the tool, with its token, to another host.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var leaked atomic.Value
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked.Store(r.Header.Get("Authorization")) }))
	defer thief.Close()
	liar := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer liar.Close()
	u := newUser(t, "EVENTSTORE_TOKEN=secret", "EVENTSTORE_URL="+liar.URL, "EVENTSTORE_MONITOR="+liar.URL)
	for _, args := range [][]string{{"channels", "--wait", "0s"}, {"relays", "--wait", "0s"}, {"doctor", "--wait", "0s"}} {
		if err := u.command(args...).Run(); err == nil {
			t.Errorf("%v succeeds", args)
		}
	}
	if got := leaked.Load(); got != nil {
		t.Errorf("another host has received %q", got)
	}
}

// TestPasswordsInURLs gives URLs with passwords, which no output repeats.
func TestPasswordsInURLs(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for _, args := range [][]string{
		{"--url", "http://127.0.0.1:1", "--monitor", "http://admin:secret@127.0.0.1:2"}, {"--url", "http://admin:secret@127.0.0.1:1"}, {"--url", "https://admin:sec%ret@127.0.0.1:1"},
	} {
		if out, err := u.run(usage, "", append([]string{"context", "add", "prod"}, args...)...); strings.Contains(out+err, "sec") {
			t.Errorf("%s%s", out, err)
		}
	}
	u.ok("context", "ls")
}

// TestDropOldAsks drops tables from a script without --yes.
func TestDropOldAsks(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	file := filepath.Join(u.home, "orders.yaml")
	text, err := os.ReadFile("../../docs/guides/sql-projections.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml")
	_, rest, _ = strings.Cut(rest, "\n")
	projection, _, _ := strings.Cut(rest, "```")
	if err := os.WriteFile(file, []byte(projection), 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(refused, "--yes", "project", "-f", file, "--url", "http://127.0.0.1:1", "--into", filepath.Join(u.home, "orders.db"), "--drop-old")
}
