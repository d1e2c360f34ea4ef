package monitor

import (
	"net/http"
	"regexp"
	"strings"
)

// Who knows the inbox of a client can send to it, and who knows an ack inbox can acknowledge: pages show only how they
// begin.

// masked returns an inbox without what is secret.
func masked(inbox string) string {
	const acks = ".acks."
	if i := strings.Index(inbox, acks); i >= 0 { // such as _INBOX.<cluster ID>.acks.<secret>
		return inbox[:i+len(acks)] + "***"
	}
	if prefix, _, ok := strings.Cut(inbox, "."); ok {
		return prefix + ".***"
	}
	if inbox == "" {
		return ""
	}
	return "***"
}

// inInboxes matches subjects of inboxes in the JSON of NATS' pages; clients receive PubAcks on _STAN.acks.
var inInboxes = regexp.MustCompile(`"_(INBOX|STAN\.acks)\.[^"]*"`)

// masking masks the inboxes in a page, which is written at once.
type masking struct{ http.ResponseWriter }

// Write implements http.ResponseWriter.
func (m masking) Write(page []byte) (int, error) {
	shown := inInboxes.ReplaceAllFunc(page, func(subject []byte) []byte {
		return []byte(`"` + masked(strings.Trim(string(subject), `"`)) + `"`)
	})
	if _, err := m.ResponseWriter.Write(shown); err != nil {
		return 0, err
	}
	return len(page), nil
}
