package natsconn

// DefaultInboxPrefix begins the inboxes of every client library unless it is told otherwise.
const DefaultInboxPrefix = "_INBOX"

// PublishAcks begins the subjects on which client libraries of NATS Streaming await the answers to what they publish.
const PublishAcks = "_STAN.acks"

// OwnInboxes returns the prefix of the inboxes on which a server of the cluster ID listens: acks of subscribers and answers to
// heartbeats. It begins with the default prefix because clients may publish there: their permissions for inboxes say so. A
// cluster ID is one token.
func OwnInboxes(clusterID string) string { return DefaultInboxPrefix + "." + clusterID + "." }
