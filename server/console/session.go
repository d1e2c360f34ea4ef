package console

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of sessions: how many there are, how long one lasts, and how long without a request.
const (
	maxSessions = 1000
	maxOfToken  = 50
	sessionLife = 12 * time.Hour
	sessionIdle = 2 * time.Hour
)

// session is a browser that has logged in.
type session struct {
	id    string
	token string // what it logged in with; a reload may take it away
	began time.Time
	used  time.Time
}

// sessions are those of all browsers. Where there are too many, of one token or in all, the one that was unused for longest ends: nobody
// can end those of others by logging in often.
type sessions struct {
	now func() time.Time

	mu   sync.Mutex               // guards the fields below, and the sessions
	byID map[string]*list.Element // of *session
	all  list.List                // the least recently used first
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byID: make(map[string]*list.Element)}
}

// begin returns the ID of a new session.
func (s *sessions) begin(token string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *list.Element // of the token
	ofToken := 0
	for e := s.all.Back(); e != nil; e = e.Prev() {
		if e.Value.(*session).token == token {
			oldest, ofToken = e, ofToken+1
		}
	}
	if ofToken >= maxOfToken {
		s.remove(oldest)
	}
	for s.all.Len() >= maxSessions {
		s.remove(s.all.Front())
	}
	it := &session{id: rand.Text(), token: token, began: s.now(), used: s.now()}
	s.byID[it.id] = s.all.PushBack(it)
	return it.id
}

// token returns that of a session, and whether the session exists.
func (s *sessions) token(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byID[id]
	if !ok {
		return "", false
	}
	it, now := e.Value.(*session), s.now()
	if now.Sub(it.began) > sessionLife || now.Sub(it.used) > sessionIdle {
		s.remove(e)
		return "", false
	}
	it.used = now
	s.all.MoveToBack(e)
	return it.token, true
}

// end ends a session, if it exists.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byID[id]; ok {
		s.remove(e)
	}
}

// remove removes a session. The caller holds s.mu.
func (s *sessions) remove(e *list.Element) {
	delete(s.byID, e.Value.(*session).id)
	s.all.Remove(e)
}

func newKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
}

// formToken returns what forms of the browser with an ID carry. Nobody else can compute it, so that a form comes from a page of ours.
func (c *Console) formToken(id string) string {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (c *Console) isFormToken(id, token string) bool {
	return hmac.Equal([]byte(c.formToken(id)), []byte(token))
}

// cookieName is the name of the cookie with the browser's ID. Browsers send cookies to all ports of a host, so the name has the port.
func cookieName(r *http.Request) string {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, port, err := net.SplitHostPort(a.String()); err == nil {
			return "console-" + port
		}
	}
	return "console"
}

// setID gives a browser an ID.
func setID(w http.ResponseWriter, r *http.Request, id string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: id, Path: "/console/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}
