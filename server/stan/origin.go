package stan

import (
	"slices"
	"strings"
)

// origin tells the requests of one NATS connection from those of others: it is the subject under which the client
// library awaits all its replies, _INBOX.<random> of _INBOX.<random>.<request>. It is empty if the reply subject says
// nothing, as that of a library that makes a new inbox for each request.
//
// NATS Streaming's requests to close a connection and to subscribe carry a client ID and no connection ID, so that a client
// that was replaced could close its successor, or take its durables. What does come from a connection known to be a former
// holder's is refused. Everything else is accepted as it ever was: this never mistakes the holder for somebody else.
type origin string

func originOf(reply string) origin {
	i := strings.LastIndexByte(reply, '.')
	if i < 0 || !strings.Contains(reply[:i], ".") {
		return ""
	}
	if strings.HasPrefix(reply, "_R_.") {
		return "" // made by NATS for a request that crosses accounts
	}
	return origin(reply[:i])
}

// Bounds of what is remembered of former holders.
const (
	formerIDs     = 4096
	formersOfOne  = 8
	formerDropped = formerIDs / 8 // at once, so that dropping is rare
)

// formers remembers the origins of clients that lost their ID without having closed it: they may not know yet. The zero
// value is empty.
type formers struct {
	byID  map[string][]origin
	order []string // IDs, the longest known first
}

func (f *formers) add(id string, o origin) {
	if o == "" || slices.Contains(f.byID[id], o) {
		return
	}
	if f.byID == nil {
		f.byID = make(map[string][]origin)
	}
	known := f.byID[id]
	if len(known) == 0 {
		f.order = append(f.order, id)
	}
	if len(known) == formersOfOne {
		known = known[1:]
	}
	f.byID[id] = append(slices.Clone(known), o)
	if len(f.order) > formerIDs {
		for _, old := range f.order[:formerDropped] {
			delete(f.byID, old)
		}
		f.order = slices.Clone(f.order[formerDropped:])
	}
}

func (f *formers) has(id string, o origin) bool { return slices.Contains(f.byID[id], o) }
