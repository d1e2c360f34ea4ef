package stan

import (
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	a := newAddresses([]string{"_INBOX_shop", "reply.to"}, "C")
	for subject, want := range map[string]bool{
		"_INBOX.Gt4vJ0":                  true,
		"_INBOX.Gt4vJ0.Xk2q":             true,
		"_INBOX_shop.Gt4vJ0":             true,
		"reply.to.Gt4vJ0":                true,
		"_STAN.acks.Gt4vJ0":              true, // where libraries await the answers to what they publish
		"_R_.5nVu9C.GfKq7W":              true, // NATS', for a request that crosses accounts
		"b1946ac92492d2347c6235b4d26":    true, // that of a library without a prefix
		"b1946ac92492d23":                false,
		"b1946ac92492d2347c6235b4d2.1":   false,
		"b1946ac92492d2347c6235b4d2-":    false,
		"":                               false,
		"_INBOX":                         false,
		"_INBOX.":                        false,
		"_INBOX..a":                      false,
		"_INBOX.a.":                      false,
		"_INBOX.*":                       false,
		"_INBOX.>":                       false,
		"_INBOX.a b":                     false,
		"_INBOX.a\r\nPUB ORDERS.x 0\r\n": false,
		"_INBOX.C.acks.Gt4vJ0":           false, // the server's own
		"_INBOX.C.heartbeats.Gt4vJ0":     false,
		"_INBOXES.a":                     false,
		"_INBOX_shop":                    false,
		"_inbox.a":                       false,
		"reply.a":                        false,
		"_STAN.discover.C":               false,
		"_STAN.pub.C.orders":             false,
		"_STAN.acksx.a":                  false,
		"$JS.API.STREAM.DELETE.ORDERS":   false,
		"$SYS.REQ.SERVER.PING":           false,
		"ORDERS.forged":                  false,
	} {
		if got := a.allow(subject); got != want {
			t.Errorf("%q: %v, want %v", subject, got, want)
		}
		if err := a.check("inbox", subject); (err == nil) != want {
			t.Errorf("check of %q: %v", subject, err)
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
