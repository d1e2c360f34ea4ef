package console

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/api"
)

// Bounds of asking the other servers which of them leads.
const (
	askEvery   = 2 * time.Second
	askTimeout = time.Second
	askAnswer  = 1 << 10 // bytes
)

// servers are the APIs of all servers of the database, by their URLs. The lease does not say where the leader is, so a standby asks each of
// them for its health, which the API tells everybody. That is done when somebody looks, and at most once in askEvery.
type servers struct {
	urls   []string
	client *http.Client

	mu     sync.Mutex // held while asking; guards the fields below
	asked  time.Time
	leader string // "" if none said that it leads
}

func newServers(urls []string) *servers {
	return &servers{urls: urls, client: &http.Client{
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// The certificate may be of an authority that this machine does not know. Nothing secret is sent, and the answer only chooses
		// among links that the configuration names.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, IdleConnTimeout: 5 * askEvery},
	}}
}

// leading returns the URL of the server that leads, or "" if none of them says so.
func (s *servers) leading(ctx context.Context) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.asked) < askEvery {
		return s.leader
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout) // the answer is also for others
	defer cancel()
	found := make(chan string, len(s.urls))
	for _, url := range s.urls {
		go func() { found <- s.ask(ctx, url) }()
	}
	s.leader = ""
	for range s.urls {
		if url := <-found; url != "" && s.leader == "" {
			s.leader = url
			cancel() // one leads
		}
	}
	s.asked = time.Now()
	return s.leader
}

// ask returns the URL if the server there leads: grpc.health.v1 in the JSON of Connect.
func (s *servers) ask(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/grpc.health.v1.Health/Check", strings.NewReader("{}"))
	if err != nil {
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var health struct{ Status string }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, askAnswer)).Decode(&health) != nil {
		return ""
	}
	switch health.Status {
	case "SERVING", "SERVING_STATUS_SERVING": // the name of the enum's value has a prefix in some versions
		return url
	}
	return ""
}

// standby is what the pages of a server that does not lead say about that.
type standby struct {
	Serves  bool      // it serves reads
	Seen    time.Time // when it saw the database last
	Stale   bool      // it tries to see it, and cannot
	Leader  string    // URL of the page on the server that leads; "" if that is not known
	At      string    // URL of that server
	Servers bool      // all servers are named in the configuration
}

// staleAfter is how long ago a standby that works has seen the database at most.
const staleAfter = 5 * time.Second

// standby returns nil if this server leads.
func (v *visit) standby() *standby {
	c := v.console
	if c.opts.Monitor.Term() != nil {
		return nil
	}
	s := &standby{Servers: len(c.opts.About.Servers) > 0}
	if age, follows := c.opts.Monitor.FollowingAge(); follows {
		s.Serves, s.Seen, s.Stale = true, time.Now().Add(-age), age > staleAfter
	}
	if s.At = c.servers.leading(v.ctx); s.At != "" {
		s.Leader = s.At + v.page()
	}
	return s
}

// page returns the address of the page that a request is about, which may be the live part of one.
func (v *visit) page() string {
	name, live := strings.CutPrefix(v.r.URL.Path, api.ConsoleStreams)
	if !live {
		return v.r.URL.RequestURI()
	}
	q := v.r.URL.Query()
	q.Del("after")
	u := url.URL{Path: api.ConsolePath + strings.TrimPrefix(name, "overview"), RawQuery: q.Encode()}
	return u.RequestURI()
}
