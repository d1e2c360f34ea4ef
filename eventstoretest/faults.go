package eventstoretest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Inject makes a fault happen to the next calls of a kind, each of them once: times says to how many. Several faults of one kind of call happen
// in the order of their injection. The test fails if it ends before all of them have happened.
//
// Faults happen at the door of the server, to the calls of any client of its API. Clients of NATS Streaming do not meet them.
func (s *Server) Inject(call Call, times int, fault Fault) {
	s.t.Helper()
	if times < 1 || fault.happen == nil {
		s.t.Fatalf("eventstoretest: inject %s %d times: a fault happens at least once, and comes from a function of this package such as Refuse", fault.name, times)
	}
	s.faults.add(call, times, fault)
}

// faults are those that have not happened yet.
type faults struct {
	pass   string             // bearer token of calls that meet no fault
	direct *eventstore.Client // has that token

	mu      sync.Mutex // guards waiting
	waiting []*waiting
}

type waiting struct {
	call  Call
	left  int
	times int
	fault Fault
}

func (f *faults) add(call Call, times int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, &waiting{call, times, times, fault})
}

// next takes the fault that happens to a call, if there is one.
func (f *faults) next(call Call) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.waiting {
		if w.call == call && w.left > 0 {
			w.left--
			return w.fault, true
		}
	}
	return Fault{}, false
}

// unused says which faults have not happened.
func (f *faults) unused() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, w := range f.waiting {
		if w.left > 0 {
			_, call, _ := strings.Cut(strings.TrimPrefix(string(w.call), "/"), "/")
			all = append(all, fmt.Sprintf("%s of %s was injected %d times and happened %d times", w.fault.name, call, w.times, w.times-w.left))
		}
	}
	return all
}

// wrap returns what puts faults before the handler of an API with a token. Calls with another token, of this process, meet none.
func (f *faults) wrap(token string) func(http.Handler) http.Handler {
	f.pass = rand.Text()
	return func(api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer "+f.pass {
				r.Header.Del("Authorization")
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				api.ServeHTTP(w, r)
				return
			}
			if fault, happens := f.next(Call(r.URL.Path)); happens {
				fault.happen(w, r, api, f.direct)
				return
			}
			api.ServeHTTP(w, r)
		})
	}
}
