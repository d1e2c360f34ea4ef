package console_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// visitor is a program with a session of the console.
type visitor struct {
	t      *testing.T
	s      *server
	client *http.Client
}

// enter logs a program in with a token.
func enter(t *testing.T, s *server, token string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t, s, &http.Client{Jar: jar}}
	v.post("/console/login", "/console/login", url.Values{"token": {token}})
	return v
}

// get returns the page at a path.
func (v *visitor) get(path string) string {
	v.t.Helper()
	return v.read(v.client.Get(v.s.url + path))
}

var formField = regexp.MustCompile(`name="form" value="([^"]+)"`)

// post sends a form that a page has, and returns the answer.
func (v *visitor) post(page, path string, fields url.Values) string {
	v.t.Helper()
	found := formField.FindStringSubmatch(v.get(page))
	if found == nil {
		v.t.Fatalf("%s has no form", page)
	}
	fields.Set("form", found[1])
	return v.read(v.client.PostForm(v.s.url+path, fields))
}

func (v *visitor) read(resp *http.Response, err error) string {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(text)
}

// TestLiveEndsWithSession has a thief of a cookie follow the events, until the owner logs out.
func TestLiveEndsWithSession(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-grpc_token", "boss")
	v := enter(t, s, "boss")
	for _, path := range []string{"/console/live/events?after=0", "/console/live/overview"} {
		resp, err := v.client.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		stream := bufio.NewReader(resp.Body)
		if line, err := stream.ReadString('\n'); err != nil || !strings.HasPrefix(line, "retry") {
			t.Fatalf("%s begins with %q, %v", path, line, err)
		}
		v.post("/console/", "/console/logout", url.Values{})
		if _, err := io.Copy(io.Discard, stream); err != nil { // until the server ends it
			t.Error(err)
		}
		v.post("/console/login", "/console/login", url.Values{"token": {"boss"}})
	}
}

// TestCountsOfOthers looks at the overview as principals who may read a part of the channels, or all.
func TestCountsOfOthers(t *testing.T) {
	t.Parallel()
	principals := "principals: [\n"
	for name, rights := range map[string]string{"clerk": `read: ["eventstore.orders"]`, "boss": `admin: [">"]`, "reader": `read: [">"]`} {
		principals += fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
	}
	file := filepath.Join(t.TempDir(), "access.conf")
	if err := os.WriteFile(file, []byte(principals+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "sqlite", databases.SQLite(t), "-access_file", file)
	for name, counts := range map[string]bool{"clerk": false, "boss": true, "reader": true} {
		page := enter(t, s, name).get("/console/")
		if !strings.Contains(page, "Log out") || strings.Contains(page, "Messages stored") != counts {
			t.Errorf("%s sees\n%s", name, page)
		}
	}
}

// TestVerifyInMemory asks for a verification of what no other connection reads: nothing was verified, so nothing is without faults.
func TestVerifyInMemory(t *testing.T) {
	t.Parallel()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: harness.New(t, harness.Binary(), "-store", "MEMORY", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-grpc_token", "boss"), url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.Launch()
	s.Ready()
	v := enter(t, s, "boss")
	v.post("/console/damage", "/console/damage", url.Values{})
	s.WaitLog(t, "could not be verified")
	if page := v.get("/console/damage"); strings.Contains(page, "No faults") {
		t.Error(page)
	}
}
