package stan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// ErrNotInbox refuses a request that names a subject which is not an inbox.
var ErrNotInbox = errors.New(refusal.NotInbox)

// serviceReply begins a reply subject that NATS made for a request between accounts. It carries no more authority than the
// import that the operator configured.
const serviceReply = "_R_."

// maxAddress bounds the length of a subject. NATS closes a connection that sends a longer line than max_control_line, by default
// 4096 bytes, and with the server's connection everybody's messages would be lost.
const maxAddress = 1024

// addresses decides to which subjects the server sends what it sends to clients. Clients name these subjects, but the server
// publishes to them with its own authority: to a stream, to JetStream's API or to its own requests a client must not make it
// speak. So they must be inboxes, and none of the server's own.
type addresses struct {
	prefixes []string // with a dot at the end
	own      string   // prefix of the inboxes that this server listens on
}

func newAddresses(prefixes []string, clusterID string) addresses {
	a := addresses{own: natsconn.OwnInboxes(clusterID)}
	for _, p := range append([]string{natsconn.DefaultInboxPrefix}, prefixes...) {
		a.prefixes = append(a.prefixes, p+".")
	}
	return a
}

// check returns an error that wraps ErrNotInbox, unless a client may name the subject as its inbox.
func (a *addresses) check(what, subject string) error {
	if a.inbox(subject) {
		return nil
	}
	return fmt.Errorf("%s %.100q is %w", what, subject, ErrNotInbox)
}

// inbox reports whether a client may name a subject as its inbox.
func (a *addresses) inbox(subject string) bool {
	return !strings.HasPrefix(subject, a.own) && literal(subject) &&
		(bare(subject) || slices.ContainsFunc(a.prefixes, func(p string) bool { return strings.HasPrefix(subject, p) }))
}

// bare reports whether a subject is one token of 16 to 32 hexadecimal digits. The libraries for Python and Ruby make up such
// inboxes, without a prefix.
func bare(subject string) bool {
	return len(subject) >= 16 && len(subject) <= 32 && strings.Trim(subject, "0123456789abcdef") == ""
}

// reply reports whether a request may await its answer on a subject.
func (a *addresses) reply(subject string) bool {
	return a.inbox(subject) || strings.HasPrefix(subject, serviceReply) && literal(subject)
}

// publishReply reports whether a publish may await its answer on a subject. Everybody who may publish hears the answers to all
// publishes, so no other request may use their subjects: it would come from anybody.
func (a *addresses) publishReply(subject string) bool {
	return a.reply(subject) || strings.HasPrefix(subject, natsconn.PublishAcks+".") && literal(subject)
}

// literal reports whether a subject has no empty token, no wildcard and nothing that could end a line of NATS' protocol or
// that a database does not take.
func literal(subject string) bool {
	if len(subject) > maxAddress || !utf8.ValidString(subject) {
		return false
	}
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
