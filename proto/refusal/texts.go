package refusal

// Texts of the server's refusals. Its errors are made of them, so that they and Parse cannot differ. Clients of NATS Streaming
// compare some of them verbatim, with the prefix "stan: ".
const (
	InvalidConnect     = "invalid connection request"
	InvalidClientID    = "invalid clientID: only alphanumeric and `-` or `_` characters allowed"
	ClientRegistered   = "clientID already registered"
	ClientReplaced     = "client has been replaced or is no longer registered"
	InvalidPublish     = "invalid publish request"
	SubjectMismatch    = "invalid publish request: channel differs from the NATS subject"
	InvalidSubscribe   = "invalid subscription request"
	MissingClient      = "clientID missing"
	UnknownClient      = "unknown clientID"
	InvalidAckWait     = "invalid ack wait time, should be >= 1s"
	InvalidMaxInFlight = "invalid MaxInflight, should be >= 1"
	InvalidStart       = "invalid start position"
	InvalidSubject     = "invalid subject"
	DurableColon       = "durable name of a durable queue subscriber can't contain the character ':'"
	InvalidUnsubscribe = "invalid unsubscribe request"
	UnknownChannel     = "unknown channel"
	InvalidSub         = "invalid subscription"
	InvalidClose       = "invalid close request"
	LongRequest        = "the request is too long"
	NotInbox           = "not an inbox: use _INBOX.<id>, or add the prefix to inbox_prefixes of the server"
	Permissions        = "permissions violation"
	Busy               = "too many requests: try again"
	TooManyChannels    = "too many channels"
	TooManySubs        = "too many subscriptions per channel"
	DuplicateDurable   = "duplicate durable registration"
	ChannelDeleted     = "channel is being deleted"
	TooLarge           = "too large to be delivered within the NATS max_payload"
	Overloaded         = "too many unanswered messages"
	Stopped            = "the server is stopping"

	InvalidEvent   = "invalid event"          // the field and the reason follow
	WrongVersion   = "wrong expected version" // the aggregate and the versions follow
	DuplicateEvent = "already stored with different content"
	PartlyStored   = "some of the events are already stored, others are not"
	Refused        = "the database refused the message"
	Unavailable    = "the database is unavailable"
	OutcomeUnknown = "the outcome of the commit is unknown"
	Fenced         = "the lease of the database is not held by this server"

	OutOfService = "is out of service" // of a channel or subscription; the reason follows
	OtherCase    = "(different cases not allowed)"
)
