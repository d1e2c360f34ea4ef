package conformance

// test is one row of the table.
type test struct {
	section string // of the protocol description
	name    string
	kind    kind
	storage bool // depends on storage: run on every database, not only SQLite
	run     func(*stage)
}

const (
	everywhere = true  // on every database
	anywhere   = false // only on SQLite
)

// table lists the protocol's rules. Tests of limits (§7), monitoring (§15) and the command line (§16) are in the package
// above.
var table = []test{
	{"§1", "subjects", shared, anywhere, subjects},
	{"§2", "unparsable requests", shared, anywhere, unparsable},
	{"§3", "order of the checks of a connect request", shared, anywhere, connectChecks},
	{"§3", "order of the checks of a subscription request", shared, anywhere, subscribeChecks},
	{"§3", "order of the checks of a publish request", shared, anywhere, publishChecks},
	{"§3", "order of the checks of ending a subscription", shared, anywhere, endChecks},

	{"§4", "protocol 0", shared, everywhere, protocolZero},
	{"§4", "inboxes without a prefix", shared, anywhere, bareInboxes},
	{"§4", "ping values are echoed", shared, anywhere, pingValues},
	{"§4", "duplicate of a living client", shared, anywhere, duplicateOfLiving},
	{"§4", "silent client is replaced", shared, everywhere, silentIsReplaced},
	{"§4", "disconnected client is replaced at once", shared, everywhere, goneIsReplaced},
	{"§4", "one duplicate check at a time", shared, anywhere, oneDuplicateCheck},
	{"§17.3", "requests of a replaced client", shared, everywhere, replacedClient},

	{"§5", "pings", shared, anywhere, pings},
	{"§5", "heartbeats", hasty, anywhere, heartbeats},
	{"§5", "silent client is closed", hasty, everywhere, silentIsClosed},
	{"§5", "ping of a failing client asks for a heartbeat", leisurely, anywhere, pingAsksForBeat},
	{"§5", "failing client gets new messages and no redeliveries", hasty, anywhere, failingClient},

	{"§6", "message as published", shared, everywhere, messageAsPublished},
	{"§6", "refused message takes no sequence", shared, everywhere, refusedTakesNoSequence},
	{"§6", "no deduplication", shared, anywhere, noDeduplication},
	{"§7", "channel names", shared, everywhere, channelNames},
	{"§7", "letter case", shared, everywhere, letterCase},
	{"§7", "refused subscription leaves the channel", shared, anywhere, refusedLeavesChannel},

	{"§8", "start positions", shared, everywhere, startPositions},
	{"§8", "start positions of an empty channel", shared, everywhere, startPositionsEmpty},
	{"§8", "answer comes before messages", shared, anywhere, answerComesFirst},
	{"§8", "close by data inbox", shared, anywhere, closeByDataInbox},
	{"§8", "data inbox equal to another ack inbox", shared, anywhere, foreignInbox},

	{"§9", "redelivery whatever MaxInflight is", shared, everywhere, redelivery},
	{"§9", "acks in any order", shared, anywhere, acksInAnyOrder},
	{"§9", "ack of another channel", shared, anywhere, ackOfAnotherChannel},
	{"§9", "redelivery keeps expiry order", shared, anywhere, expiryOrder},
	{"§9", "redelivery count", shared, everywhere, redeliveryCount},

	{"§10", "close request", shared, everywhere, closeRequest},
	{"§10", "acks before the end count", shared, everywhere, acksBeforeTheEnd},
	{"§10", "publishes before the close count", shared, everywhere, publishesBeforeTheClose},
	{"§5", "a message before its PubAck", shared, everywhere, messageBeforeItsAck},
	{"§10", "no reply subject", shared, anywhere, noReply},

	{"§11", "durable key", shared, everywhere, durableKey},
	{"§11", "duplicate durable", shared, anywhere, duplicateDurable},
	{"§11", "resume", shared, everywhere, resume},
	{"§11", "unsubscribe starts anew", shared, everywhere, unsubscribeStartsAnew},
	{"§11", "replace durable", replacing, everywhere, replaceDurable},
	{"§11", "restart", own, everywhere, restart},
	{"§11", "restart redelivers to the same members", own, everywhere, restartSameMembers},
	{"§11", "acked by a member that left stays acked", own, everywhere, restartAfterLeave},

	{"§12", "first member's position counts", shared, everywhere, firstMembersPosition},
	{"§12", "fewest unacked, then in turn", shared, anywhere, fewestUnacked},
	{"§12", "stalled members", shared, anywhere, stalledMembers},
	{"§12", "ack by another member", shared, anywhere, ackByAnotherMember},
	{"§12", "redelivery to another member", shared, anywhere, redeliveryToAnother},
	{"§12", "leaver's messages are redistributed", shared, everywhere, leaversMessages},
	{"§12", "life of groups", shared, everywhere, lifeOfGroups},
	{"§12", "durable group by its compound name", shared, everywhere, compoundName},
	{"§12", "members with failing heartbeats are avoided", hasty, anywhere, failingMember},

	{"§13", "another server with the same cluster ID", own, anywhere, anotherServer},
	{"§16", "log of subscriptions", debugging, anywhere, logOfSubscriptions},
}
