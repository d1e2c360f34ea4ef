package stan

import (
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	a := newAddresses([]string{"_INBOX_shop", "reply.to"}, "C")
	const (
		nowhere = iota
		publish // a publish may await its answer there
		answers // any request may
		inboxes // and a client may receive messages there
	)
	for subject, want := range map[string]int{
		"_INBOX.Gt4vJ0":                       inboxes,
		"_INBOX.Gt4vJ0.Xk2q":                  inboxes,
		"_INBOX_shop.Gt4vJ0":                  inboxes,
		"reply.to.Gt4vJ0":                     inboxes,
		"_STAN.acks.Gt4vJ0":                   publish, // where libraries await the answers to what they publish
		"_R_.5nVu9C.GfKq7W":                   answers, // NATS', for a request that crosses accounts
		"b1946ac92492d2347c6235b4d26":         inboxes, // that of a library without a prefix
		"b1946ac92492d23":                     nowhere,
		"b1946ac92492d2347c6235b4d2.1":        nowhere,
		"b1946ac92492d2347c6235b4d2-":         nowhere,
		"":                                    nowhere,
		"_INBOX":                              nowhere,
		"_INBOX.":                             nowhere,
		"_INBOX..a":                           nowhere,
		"_INBOX.a.":                           nowhere,
		"_INBOX.*":                            nowhere,
		"_INBOX.>":                            nowhere,
		"_INBOX.a b":                          nowhere,
		"_INBOX.a\r\nPUB ORDERS.x 0\r\n":      nowhere,
		"_INBOX.C.acks.Gt4vJ0":                nowhere, // the server's own
		"_INBOX.C.heartbeats.Gt4vJ0":          nowhere,
		"_INBOXES.a":                          nowhere,
		"_INBOX_shop":                         nowhere,
		"_inbox.a":                            nowhere,
		"reply.a":                             nowhere,
		"_STAN.discover.C":                    nowhere,
		"_STAN.pub.C.orders":                  nowhere,
		"_STAN.acksx.a":                       nowhere,
		"$JS.API.STREAM.DELETE.ORDERS":        nowhere,
		"$SYS.REQ.SERVER.PING":                nowhere,
		"ORDERS.forged":                       nowhere,
		"_STAN.acks.*":                        nowhere,
		"_INBOX.\xff":                         nowhere,
		"_INBOX." + strings.Repeat("x", 1020): nowhere,
	} {
		if got := a.publishReply(subject); got != (want >= publish) {
			t.Errorf("%q for the answer to a publish: %v", subject, got)
		}
		if got := a.reply(subject); got != (want >= answers) {
			t.Errorf("%q for the answer to a request: %v", subject, got)
		}
		if err := a.check("inbox", subject); (err == nil) != (want >= inboxes) {
			t.Errorf("%q as an inbox: %v", subject, err)
		}
	}
	if text := a.check("inbox", strings.Repeat("x", 1<<20)).Error(); len(text) > 300 {
		t.Errorf("the error repeats %d bytes of the subject", len(text))
	}
}

// TestAckInboxesCannotBeGuessed shows that one does not follow from another.
func TestAckInboxesCannotBeGuessed(t *testing.T) {
	t.Parallel()
	a := newAcks(nil, "C", nil)
	seen := make(map[string]bool)
	for range 1000 {
		token := strings.TrimPrefix(a.newInbox(), "_INBOX.C.acks.")
		if len(token) < 26 || seen[token[:8]] {
			t.Fatalf("%q has fewer than 128 bits, or begins like another one", token)
		}
		seen[token[:8]] = true
	}
}
