package test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

var indexLink = regexp.MustCompile(`<tr><td><a href="([^"]+)">([^<]+)</a></td><td>[^<]+</td></tr>`)

// The root of the monitoring port links every page, ours and those of NATS, with and without a base path.
func TestMonitoringIndex(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/nats", "/a/b"} {
		t.Run("base "+base, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "server.conf")
			if err := os.WriteFile(file, []byte("http: \"127.0.0.1:-1\"\nhttp_base_path: \""+base+"\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, "sqlite", databases.SQLite(t), "-c", file, "-js", "-sd", t.TempDir())
			root := &url.URL{Path: base}
			if base == "" {
				root.Path = "/"
			}
			body, resp := s.get(root.Path)
			if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Fatalf("%s %s", resp.Status, resp.Header.Get("Content-Type"))
			}
			var linked []string
			for _, link := range indexLink.FindAllStringSubmatch(body, -1) {
				to, err := root.Parse(link[1])
				if err != nil || to.Path != link[2] {
					t.Errorf("%s leads to %v, %v; want %s", link[1], to, err, link[2])
					continue
				}
				linked = append(linked, to.Path)
				if _, resp := s.get(to.Path); resp.StatusCode >= 400 && to.Path != base+"/raftz" { // there is no Raft group
					t.Errorf("%s: %s", to.Path, resp.Status)
				}
			}
			want := []string{"/healthz", "/readyz", "/metrics"}
			for _, page := range []string{"", "/serverz", "/storez", "/clientsz", "/channelsz", "/isFTActive"} {
				want = append(want, "/streaming"+page)
			}
			for _, page := range []string{
				"/varz", "/connz", "/subsz", "/subscriptionsz", "/jsz", "/accountz", "/accstatz", "/routez", "/gatewayz", "/leafz", "/raftz", "/ipqueuesz",
				"/stacksz", "/debug/vars", "/healthz",
			} {
				if page = base + page; page != "/healthz" {
					want = append(want, page)
				}
			}
			if !slices.Equal(linked, want) {
				t.Errorf("links\n%q, want\n%q", linked, want)
			}
			if _, resp := s.get("/nowhere"); resp.StatusCode != http.StatusNotFound {
				t.Errorf("an unknown page: %s", resp.Status)
			}
		})
	}
}
