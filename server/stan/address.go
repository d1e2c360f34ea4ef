package stan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// ErrNotInbox refuses a request that names a subject which is not an inbox.
var ErrNotInbox = errors.New("not an inbox: use _INBOX.<id>, or add the prefix to inbox_prefixes of the server")

// serviceReply begins a reply subject that NATS made for a request between accounts. It carries no more authority than the
// import that the operator configured.
const serviceReply = "_R_."

// addresses decides to which subjects the server sends what it sends to clients. Clients name these subjects, but the server
// publishes to them with its own authority: to a stream, to JetStream's API or to its own requests a client must not make it
// speak. So they must be inboxes, and none of the server's own.
type addresses struct {
	prefixes []string // with a dot at the end
	own      string   // prefix of the inboxes that this server listens on
}

func newAddresses(prefixes []string, clusterID string) addresses {
	a := addresses{own: natsconn.OwnInboxes(clusterID)}
	for _, p := range append([]string{natsconn.DefaultInboxPrefix, natsconn.PublishAcks}, prefixes...) {
		a.prefixes = append(a.prefixes, p+".")
	}
	return a
}

// check returns an error that wraps ErrNotInbox, unless the server may send to the subject.
func (a *addresses) check(what, subject string) error {
	if a.allow(subject) {
		return nil
	}
	return fmt.Errorf("%s %.100q is %w", what, subject, ErrNotInbox)
}

// allow reports whether the server may send to a subject.
func (a *addresses) allow(subject string) bool {
	if strings.HasPrefix(subject, a.own) || !literal(subject) {
		return false
	}
	if strings.HasPrefix(subject, serviceReply) || bare(subject) {
		return true
	}
	for _, p := range a.prefixes {
		if strings.HasPrefix(subject, p) {
			return true
		}
	}
	return false
}

// bare reports whether a subject is one token of 16 to 32 hexadecimal digits. The libraries for Python and Ruby make up such
// inboxes, without a prefix.
func bare(subject string) bool {
	return len(subject) >= 16 && len(subject) <= 32 && strings.Trim(subject, "0123456789abcdef") == ""
}

// literal reports whether a subject has no empty token, no wildcard and nothing that could end a line of NATS' protocol.
func literal(subject string) bool {
	last := byte('.')
	for i := range len(subject) {
		c := subject[i]
		if c <= ' ' || c == 0x7f || c == '*' || c == '>' || c == '.' && last == '.' {
			return false
		}
		last = c
	}
	return last != '.'
}
