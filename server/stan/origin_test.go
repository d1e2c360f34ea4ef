package stan

import "testing"

func TestOriginOfReplySubjects(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]origin{
		"":                              "",
		"reply":                         "",
		"_INBOX.Gt4vJ0":                 "", // an inbox of its own for each request
		"_INBOX.Gt4vJ0.1":               "_INBOX.Gt4vJ0",
		"custom.prefix.Gt4vJ0.Xk2q":     "custom.prefix.Gt4vJ0",
		"_R_.5nVu9C.GfKq7W.0OBo5nzlPMN": "", // NATS', for a request that crosses accounts
	} {
		if got := originOf(reply); got != want {
			t.Errorf("origin of %q = %q, want %q", reply, got, want)
		}
	}
}
