package offline

import "strings"

// copierPrefix begins the client IDs under which Move reads from a serving NATS Streaming.
const copierPrefix = "eventstore-copy-"

// isCopier reports whether a client of NATS Streaming was one that copied it. It does not move house.
func isCopier(client string) bool { return strings.HasPrefix(client, copierPrefix) }
