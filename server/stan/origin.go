package stan

import "strings"

// origin tells the requests of one NATS connection from those of others: it is the subject under which the client
// library awaits all its replies, _INBOX.<random> of _INBOX.<random>.<request>. It is empty if the reply subject says
// nothing, as that of a library that makes a new inbox for each request.
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
