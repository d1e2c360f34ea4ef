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

// TestDownload downloads as a principal who may read a part of the channels, and holds up other downloads until a logout.
func TestDownload(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.conf")
	principals := fmt.Sprintf(`principals: [
		{ name: boss, tokens: ["sha256:%x"], admin: [">"], read: [">"], append: [">"] }
		{ name: clerk, tokens: ["sha256:%x"], read: ["eventstore.orders"] }
	]
`, sha256.Sum256([]byte("boss")), sha256.Sum256([]byte("clerk")))
	if err := os.WriteFile(file, []byte(principals), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "sqlite", databases.SQLite(t), "-access_file", file)
	s.token = "boss"
	s.store(t, "eventstore.orders", order("o1", "OrderPlaced", `{ "n": 1 }`))
	large := `"` + strings.Repeat("x", 500<<10) + `"`
	for range 60 { // more than the connection of a client that does not read can hold
		s.store(t, "eventstore.secret", order("x1", "SecretKept", large))
	}
	clerk := enter(t, s, "clerk")
	if got := clerk.get("/console/live/download"); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"type":"OrderPlaced"`) || !strings.Contains(got, `"data":{"n":1},"data_base64":"eyAibiI6IDEgfQ=="`) {
		t.Errorf("the clerk downloads %.300s", got)
	}
	if got := clerk.get("/console/live/download?channel=eventstore.secret"); !strings.Contains(got, "permissions violation") {
		t.Errorf("the clerk downloads %.300s of what is not for clerks", got)
	}
	resp, err := http.Get(s.url + "/console/live/download")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger gets %s", resp.Status)
	}
	boss := enter(t, s, "boss")
	var held []*http.Response
	for range 2 {
		resp, err := boss.client.Get(s.url + "/console/live/download")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		held = append(held, resp)
	}
	if got := clerk.get("/console/live/download"); !strings.Contains(got, "two downloads are running") {
		t.Errorf("the third download is %.300s", got)
	}
	boss.post("/console/", "/console/logout", url.Values{})
	for _, resp := range held {
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Error("a download that broke off looks whole")
		}
	}
	if got := clerk.get("/console/live/download"); !strings.Contains(got, "OrderPlaced") {
		t.Errorf("afterwards the clerk downloads %.300s", got)
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
