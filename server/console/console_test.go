package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// door is an API that knows one token, and holds one event.
type door struct {
	eventstorev1connect.UnimplementedEventStoreHandler
	token     string // "" asks nobody
	event     *eventstorev1.RecordedEvent
	appender  *eventstorev1.Appender
	refusals  int
	encrypted bool
}

func (d *door) Enter(r *http.Request, token string) (context.Context, api.Visitor) {
	return r.Context(), api.Visitor{Known: token == d.token, Counts: true, Admin: func(string) bool { return false }}
}
func (d *door) Anonymous() bool              { return d.token == "" }
func (d *door) Encrypted() bool              { return d.encrypted }
func (d *door) Refused(*http.Request, error) { d.refusals++ }
func (d *door) Admin() eventstorev1connect.AdminHandler {
	return eventstorev1connect.UnimplementedAdminHandler{}
}
func (d *door) Read(_ context.Context, _ *eventstorev1.ReadRequest, send func(*eventstorev1.ReadResponse) error) error {
	if d.event == nil {
		return nil
	}
	return send(&eventstorev1.ReadResponse{Events: []*eventstorev1.RecordedEvent{d.event}, CheckpointPosition: d.event.GetPosition()})
}
func (d *door) GetEvent(context.Context, *eventstorev1.GetEventRequest) (*eventstorev1.GetEventResponse, error) {
	return &eventstorev1.GetEventResponse{Event: d.event, Appender: d.appender}, nil
}
func (d *door) ReadAggregate(context.Context, *eventstorev1.ReadAggregateRequest, func(*eventstorev1.ReadAggregateResponse) error) error {
	return connect.NewError(connect.CodeUnimplemented, nil)
}
func (d *door) Aggregates(context.Context, string) ([]stores.Aggregate, error) { return nil, nil }
func (d *door) Record(context.Context, string, string, string) error           { return nil }
func (d *door) Subscribe(context.Context, *eventstorev1.SubscribeRequest, func(*eventstorev1.SubscribeResponse) error) error {
	return connect.NewError(connect.CodeUnimplemented, nil)
}

// start serves a console, and returns its address and a browser without one.
func start(t *testing.T, d *door) (string, *http.Client) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c := New(Options{About: About{ClusterID: "test"}, Monitor: monitor.New(monitor.Options{}, log), Log: log})
	s := httptest.NewServer(c.Handler(d))
	t.Cleanup(s.Close)
	return s.URL, newBrowser(t)
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// get returns the status and the page at a path.
func get(t *testing.T, browser *http.Client, address string) (*http.Response, string) {
	t.Helper()
	resp, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	return resp, read(t, resp)
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var formField = regexp.MustCompile(`name="form" value="([^"]+)"`)

// form returns the token of the forms of a page.
func form(t *testing.T, page string) string {
	t.Helper()
	found := formField.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("the page has no form:\n%s", page)
	}
	return found[1]
}

// login logs a browser in, or tries to.
func login(t *testing.T, browser *http.Client, address, token, next string) (*http.Response, string) {
	t.Helper()
	_, page := get(t, browser, address+"/console/login")
	resp, err := browser.PostForm(address+"/console/login", url.Values{"form": {form(t, page)}, "token": {token}, "next": {next}})
	if err != nil {
		t.Fatal(err)
	}
	return resp, read(t, resp)
}

func TestHeaders(t *testing.T) {
	address, browser := start(t, &door{})
	for _, path := range []string{"/console/", "/console/static/console.js", "/console/nothing", "/console/login"} {
		resp, _ := get(t, browser, address+path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if csp := resp.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
}

// TestPagesHaveNoScript checks what the policy forbids: a browser would only complain of what a test happens to open.
func TestPagesHaveNoScript(t *testing.T) {
	entries, err := files.ReadDir("pages")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := regexp.MustCompile(`(?i)<script(?: [^>]*)?>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|https?://`)
	for _, e := range entries {
		text, err := files.ReadFile("pages/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden.Find(text); found != nil {
			t.Errorf("%s contains %q", e.Name(), found)
		}
	}
}

// TestHostileEvent shows an event whose every field is hostile.
func TestHostileEvent(t *testing.T) {
	const evil = "\"'><script>alert(1)</script>\u202e\u0000\u001b[2J\u200b{{.}}"
	d := &door{appender: &eventstorev1.Appender{Principal: evil, ClientId: evil, Address: evil}, event: &eventstorev1.RecordedEvent{
		Channel: evil, Sequence: 1, Position: 7, RecordedAt: timestamppb.Now(),
		Event: &eventstorev1.Event{
			EventId: evil, EventType: evil, AggregateId: evil, AggregateType: evil, EventData: []byte(evil), ContentType: evil, Stream: evil,
			Metadata: map[string]string{evil: evil}, Tags: []string{evil},
		},
	}}
	address, browser := start(t, d)
	for _, path := range []string{"/console/events", "/console/events/7"} {
		resp, page := get(t, browser, address+path)
		if resp.StatusCode != http.StatusOK || !strings.Contains(page, `\u202e`) || !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("%s: status %d, or the event is missing:\n%s", path, resp.StatusCode, page)
		}
		if strings.Contains(page, "<script>alert") || strings.ContainsAny(page, "\u202e\x00\x1b\u200b") {
			t.Errorf("%s is not escaped:\n%s", path, page)
		}
	}
}

func TestLogin(t *testing.T) {
	d := &door{token: "secret"}
	address, browser := start(t, d)
	resp, page := get(t, browser, address+"/console/events?type=A")
	if resp.Request.URL.Path != "/console/login" || !strings.Contains(page, "Token of the API") {
		t.Fatalf("without a token: %s\n%s", resp.Request.URL, page)
	}
	if resp, page = login(t, browser, address, "wrong", ""); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(page, "No principal") || d.refusals != 1 {
		t.Fatalf("wrong token: %s, %d refusals\n%s", resp.Status, d.refusals, page)
	}
	here, err := url.Parse(address + "/console/")
	if err != nil {
		t.Fatal(err)
	}
	before := browser.Jar.Cookies(here)[0].Value
	if resp, _ = login(t, browser, address, "secret", "/console/events?type=A"); resp.Request.URL.RequestURI() != "/console/events?type=A" {
		t.Fatalf("the login leads to %s", resp.Request.URL)
	}
	after := browser.Jar.Cookies(here)[0].Value
	if after == before {
		t.Error("the login keeps the browser's ID: somebody could have planted it")
	}
	if strings.Contains(after, "secret") {
		t.Error("the cookie holds the token")
	}
	d.token = "another" // a reload
	if resp, _ = get(t, browser, address+"/console/"); resp.Request.URL.Path != "/console/login" {
		t.Errorf("after the token was taken away: %s", resp.Request.URL)
	}
	d.token = "secret"
	if resp, _ = get(t, browser, address+"/console/"); resp.Request.URL.Path != "/console/login" {
		t.Errorf("the session came back with the token: %s", resp.Request.URL)
	}
}

func TestLoginLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"/console/events?a=b": "/console/events?a=b", "": "/console/", "https://evil.example/console/": "/console/", "//evil.example/console/": "/console/",
		`/\evil.example`: "/console/", "/console/live/overview": "/console/", "/other": "/console/", "javascript:alert(1)": "/console/", "/console/../x": "/console/",
	} {
		if got := nextOf(next); got != want {
			t.Errorf("after %q comes %q, want %q", next, got, want)
		}
	}
}

func TestForeignForms(t *testing.T) {
	address, browser := start(t, &door{token: "secret"})
	login(t, browser, address, "secret", "")
	_, page := get(t, browser, address+"/console/")
	_, others := get(t, newBrowser(t), address+"/console/login")
	for name, it := range map[string]struct {
		form   string
		header [2]string
		status int
	}{
		"no token":          {"", [2]string{}, http.StatusForbidden},
		"token of another":  {form(t, others), [2]string{}, http.StatusForbidden},
		"another origin":    {form(t, page), [2]string{"Origin", "https://evil.example"}, http.StatusForbidden},
		"another site":      {form(t, page), [2]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"another subdomain": {form(t, page), [2]string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		"ours":              {form(t, page), [2]string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
	} {
		req, err := http.NewRequest(http.MethodPost, address+"/console/logout", strings.NewReader(url.Values{"form": {it.form}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if it.header[0] != "" {
			req.Header.Set(it.header[0], it.header[1])
		}
		if name == "ours" {
			continue // last, since it ends the session
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if read(t, resp); resp.StatusCode != it.status {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, it.status)
		}
	}
	if resp, _ := get(t, browser, address+"/console/"); resp.Request.URL.Path != "/console/" {
		t.Fatal("a foreign form has logged the browser out")
	}
	resp, err := browser.PostForm(address+"/console/logout", url.Values{"form": {form(t, page)}})
	if err != nil {
		t.Fatal(err)
	}
	if read(t, resp); resp.Request.URL.Path != "/console/login" {
		t.Errorf("the console's own form leads to %s", resp.Request.URL)
	}
}

// TestRebinding asks a console without login by the name of another site that its name server points here.
func TestRebinding(t *testing.T) {
	for host, allowed := range map[string]bool{"evil.example": false, "127.0.0.1": true, "localhost": true, "[::1]": true, "127.0.0.1.evil.example": false} {
		d := &door{}
		address, browser := start(t, d)
		ask := func() int {
			req, err := http.NewRequest(http.MethodGet, address+"/console/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host + ":4280"
			resp, err := browser.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			read(t, resp)
			return resp.StatusCode
		}
		if status := ask(); (status == http.StatusOK) != allowed {
			t.Errorf("host %q: status %d", host, status)
		}
		d.encrypted = true // the certificate has no such name
		if status := ask(); status != http.StatusOK {
			t.Errorf("host %q with TLS: status %d", host, status)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	now := time.Now()
	s := newSessions(func() time.Time { return now })
	first := s.begin("a")
	for n := range maxSessions {
		s.begin(strconv.Itoa(n))
	}
	if _, ok := s.token(first); ok || s.all.Len() != maxSessions || len(s.byID) != maxSessions {
		t.Errorf("%d sessions, %v", s.all.Len(), ok)
	}
	used, idle := s.begin("c"), s.begin("d")
	for range 3 * int(sessionLife/sessionIdle) / 2 {
		now = now.Add(sessionIdle * 2 / 3)
		if token, ok := s.token(used); !ok || token != "c" {
			t.Fatal("a session in use has ended early")
		}
	}
	now = now.Add(time.Minute)
	if _, ok := s.token(used); ok {
		t.Error("a session lives longer than it may")
	}
	if _, ok := s.token(idle); ok {
		t.Error("a session lives longer than it may without a request")
	}
}

// TestDeepJSON shows an event whose JSON would take gigabytes with a member on each line.
func TestDeepJSON(t *testing.T) {
	deep := strings.Repeat("[", 9000) + strings.Repeat("1,", 100_000) + "1" + strings.Repeat("]", 9000)
	if got := prettyJSON([]byte(deep)); got != deep {
		t.Errorf("%d bytes became %d", len(deep), len(got))
	}
	if c := (&Console{}).contentsOf("application/json", "", []byte(deep)); c.Kind != "JSON" || len(c.Text) > showBytes {
		t.Errorf("it shows as %s of %d bytes", c.Kind, len(c.Text))
	}
}

// TestSessionsOfOthers logs in so often with one token that there would be no room for others.
func TestSessionsOfOthers(t *testing.T) {
	s := newSessions(time.Now)
	boss := s.begin("boss")
	first := s.begin("clerk")
	for range maxSessions {
		s.begin("clerk")
	}
	if _, ok := s.token(boss); !ok {
		t.Error("the logins of one token have ended the session of another")
	}
	if _, ok := s.token(first); ok || s.all.Len() != 1+maxOfToken {
		t.Errorf("%d sessions, the first of them: %t", s.all.Len(), ok)
	}
}

// TestFetchedByOthers loads a page as the browser does for pages of other sites, and for a link there.
func TestFetchedByOthers(t *testing.T) {
	address, browser := start(t, &door{})
	for _, it := range []struct {
		site, dest string
		status     int
	}{
		{"cross-site", "image", http.StatusForbidden}, {"same-site", "iframe", http.StatusForbidden}, {"cross-site", "empty", http.StatusForbidden},
		{"cross-site", "document", http.StatusOK}, {"same-origin", "empty", http.StatusOK}, {"none", "document", http.StatusOK}, {"", "", http.StatusOK},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/console/events?type=x", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", it.site)
		req.Header.Set("Sec-Fetch-Dest", it.dest)
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if read(t, resp); resp.StatusCode != it.status {
			t.Errorf("%+v: status %d", it, resp.StatusCode)
		}
	}
}
