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

// inboxesIn returns what matches the inboxes with these prefixes in the JSON of NATS' pages. Clients receive PubAcks on
// _STAN.acks. Some libraries make up inboxes of one token, without a prefix.
func inboxesIn(prefixes []string) *regexp.Regexp {
	pattern := `"([0-9a-f]{16,32}|(_INBOX|_STAN\.acks`
	for _, p := range prefixes {
		pattern += "|" + regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(pattern + `)\.[^"]*)"`)
}

// masking masks the inboxes in a page, which is written at once.
type masking struct {
	http.ResponseWriter
	inboxes *regexp.Regexp
}

// Write implements http.ResponseWriter.
func (m masking) Write(page []byte) (int, error) {
	shown := m.inboxes.ReplaceAllFunc(page, func(subject []byte) []byte {
		return []byte(`"` + masked(strings.Trim(string(subject), `"`)) + `"`)
	})
	if _, err := m.ResponseWriter.Write(shown); err != nil {
		return 0, err
	}
	return len(page), nil
}
