package stores

import (
	"strconv"
	"strings"
)

// statements are the texts of a database's statements whose parameters and results are the same on each database.
type statements struct {
	sharedStatements
	queryStatements

	// Upserts, which each database spells in its own way.
	putServerInfo   string // (id, proto, version)
	putClient       string // (id, hbinbox, proto)
	putRelay        string // (stream, position)
	putWildcard     string // (consumer, pattern)
	putSubscription string // (id, subid, proto, client, name, kind)
	putNamed        string // (consumer, channel, client, name, settings)
	putCancelled    string // (id, seq); nothing if the row exists
	putAudit        string // (id, time, principal, address, action, target, detail); nothing if the row exists

	putErasure string // (id, requested, principal, reason, selector, state); nothing if the row exists

	more []string // further texts of the dialect to prepare
}

// sharedStatements are the texts that are the same on each database.
type sharedStatements struct {
	// Lease. readLease returns id, tick.
	readLease    string // ()
	takeLease    string // (new id, old id, old tick)
	renewLease   string // (id): the fence of every writing transaction
	releaseLease string // (id)

	// Order.
	givenPosition string // () → position
	lastPosition  string // () → position given, highest position, its timestamp and chain
	advanceOrder  string // (new position, old position)
	beginOrder    string // (last position)
	hasStep       string // (position) → a row if time steps back there
	insertStep    string // (position)
	lateChannels  string // () → id of each channel whose last message is an event without a position
	lastNumbered  string // (id, after, to, limit) → seq of the last events with a position, descending
	unnumbered    string // (id, after, to, limit) → seq, timestamp of events without a position, by seq

	serverInfo string // () → id, proto, version

	clients      string // () → id, hbinbox, proto
	deleteClient string // (id)

	relay string // (stream) → position

	maxChannelID string // () → id
	channels     string // () → id, name, maxseq, msgs, bytes, first sequence, last sequence, last timestamp
	// changedChannels returns the same for channels with events among positions, and for those among IDs. The name of a
	// deleted channel is empty.
	changedChannels string // (position after, to, to - after, id after, to, to - after)
	logEnd          string // () → holder of the lease, last position, highest channel ID
	channel         string // (id) → the same without name
	channelAfter    string // (sequence, id) → the same of a channel that has no messages up to a sequence

	maxSubscriptionID  string // () → subid
	subscriptions      string // () → id, subid, lastsent, proto, kind, by subid
	deleteSubscription string // (id, subid)
	pendings           string // () → subid, row, seq, lastsent, pending, acks
	deletePending      string // (subid)
	deleteOldPending   string // (subid): all rows but row 0

	consumers                string // () → consumer, id, lastsent, members, by consumer
	consumersPending         string // () → consumer, part, pending, by consumer and part
	deleteConsumer           string // (consumer)
	deleteConsumerPending    string // (consumer)
	deleteConsumersOf        string // (id): of all consumers of a channel
	deleteConsumersPendingOf string // (id)
	wildcards                string // () → consumer, pattern
	deleteWildcard           string // (consumer)

	named                        string // () → consumer, channel, client, name, settings, by consumer
	deleteNamed                  string // (consumer)
	deleteNamedOf                string // (channel): of all consumers of a channel
	parkedKeys                   string // () → consumer, ordering_key, number of messages
	parked                       string // (consumer, after, limit) → seq, deliveries, first_delivery, last_delivery, ordering_key, reason, by seq
	deleteParked                 string // (consumer): all of its messages
	deleteParkedOf               string // (channel)
	redelivered                  string // () → consumer, part, counts, by consumer and part
	deleteConsumerRedelivered    string // (consumer)
	deleteConsumersRedeliveredOf string // (id)
	cancelled                    string // () → id, seq
	deleteCancelledOf            string // (id)
	maxAuditID                   string // () → id

	read     string // (id, from, to, limit) → seq, timestamp, data, event_version, position, erased, by seq
	timeFrom string // (id, from) → seq, timestamp of the first message from a sequence on

	aggregateForward  string // (aggregate_id, aggregate_type, id, from version, limit) → seq, timestamp, data, event_version, position, erased, by event_version
	aggregateBackward string // the same, by descending version
	aggregatesWithID  string // (aggregate_id) → id, aggregate_type of each aggregate
	eventsWithID      string // (event_id) → id, seq, timestamp, data, event_version, position, erased, by id

	lastChained string // () → position and chain of the last event that has one
	unchained   string // (after, limit) → position, id, seq, timestamp, event_id, event_type, aggregate_type, aggregate_id, event_version, appender, data of events, by position
	insertHead  string // (position, hash, time, cluster_id, public_key, signature)
	lastHead    string // () → the same

	maxAppender    string // () → id
	appenderID     string // (principal, client_id, address) → id
	insertAppender string // (id, principal, client_id, address)
	appenderOf     string // (id, seq) → principal, client_id, address

	audit string // (id before, limit) → id, time, principal, address, action, target, detail, by id descending

	maxErasureID  string // () → id
	erasureState  string // (id) → state
	endErasure    string // (state, events, copies, erased, id)
	dropErased    string // (erasure)
	finishErasure string // (new state, id, state)
	erasures      string // (id before, limit) → id, requested, principal, reason, selector, state, events, copies, erased, by id descending
	openErasures  string // () → the same, by id, of those that are not done

	hasEvents        string // (id) → a row if the channel holds an event
	countRange       string // (id, from, to) → number and bytes of the messages in a range of sequences
	deleteRange      string // (id, from, to)
	reduceChannel    string // (number, bytes, id)
	deletedChannels  string // () → id of channels marked as deleted
	markDeleted      string // (id)
	deletePendingsOf string // (id): of all subscriptions of a channel
	deleteSubsOf     string // (id)
	deleteChannel    string // (id)
}

// newSharedStatements returns the shared texts. text converts the ? placeholders to the database's own;
// docs/decisions/2026-11-25-one-sql-table.md says why.
func newSharedStatements(text func(string) string) sharedStatements {
	return sharedStatements{
		readLease:    "SELECT id, tick FROM StoreLock",
		takeLease:    text("UPDATE StoreLock SET id = ?, tick = tick + 1 WHERE id = ? AND tick = ?"),
		renewLease:   text("UPDATE StoreLock SET tick = tick + 1 WHERE id = ?"),
		releaseLease: text("UPDATE StoreLock SET id = '', tick = tick + 1 WHERE id = ?"),

		givenPosition: "SELECT position FROM StoreLock",
		lastPosition:  "SELECT l.position, m.position, m.timestamp, m.chain FROM StoreLock AS l LEFT JOIN Messages AS m ON m.position = (SELECT position FROM Messages WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1)",
		advanceOrder:  text("UPDATE StoreLock SET position = ? WHERE position = ?"),
		beginOrder:    text("UPDATE StoreLock SET position = ? WHERE position IS NULL"),
		hasStep:       text("SELECT 1 FROM TimeSteps WHERE position = ?"),
		insertStep:    text("INSERT INTO TimeSteps (position) VALUES (?)"),
		lateChannels:  "SELECT id FROM (SELECT c.id, (SELECT CASE WHEN event_type IS NOT NULL AND position IS NULL THEN 1 ELSE 0 END FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) AS late FROM Channels AS c WHERE c.deleted = FALSE) AS l WHERE late = 1 ORDER BY id",
		lastNumbered:  text("SELECT seq FROM Messages WHERE id = ? AND seq > ? AND seq <= ? AND position IS NOT NULL ORDER BY seq DESC LIMIT ?"),
		unnumbered:    text("SELECT seq, timestamp FROM Messages WHERE id = ? AND seq > ? AND seq <= ? AND event_type IS NOT NULL AND position IS NULL ORDER BY seq LIMIT ?"),

		serverInfo: "SELECT id, proto, version FROM ServerInfo WHERE uniquerow = 1",

		clients:      "SELECT id, hbinbox, proto FROM Clients ORDER BY id",
		deleteClient: text("DELETE FROM Clients WHERE id = ?"),

		relay: text("SELECT position FROM Relays WHERE stream = ?"),

		maxChannelID: "SELECT COALESCE(MAX(id), 0) FROM Channels",
		channels:     "SELECT c.id, c.name, c.maxseq, c.msgs, c.bytes, (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) FROM Channels AS c WHERE c.deleted = FALSE ORDER BY c.id",
		// Subqueries by key: as a join, planners that guess the number of events read all channels.
		changedChannels: text("SELECT n.id, COALESCE((SELECT name FROM Channels WHERE id = n.id AND deleted = FALSE), ''), (SELECT maxseq FROM Channels WHERE id = n.id), (SELECT msgs FROM Channels WHERE id = n.id), (SELECT bytes FROM Channels WHERE id = n.id), (SELECT seq FROM Messages WHERE id = n.id ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = n.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = n.id ORDER BY seq DESC LIMIT 1) FROM (SELECT id FROM (SELECT id FROM Messages WHERE position > ? AND position <= ? ORDER BY position LIMIT ?) AS e UNION SELECT id FROM (SELECT id FROM Channels WHERE id > ? AND id <= ? ORDER BY id LIMIT ?) AS c) AS n ORDER BY n.id"),
		logEnd:          "SELECT id, position, (SELECT MAX(id) FROM Channels) FROM StoreLock",
		channel:         text("SELECT c.id, c.maxseq, c.msgs, c.bytes, (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) FROM Channels AS c WHERE c.id = ?"),
		// Without the lower bound, a database reads again what it has deleted and not yet cleaned up.
		channelAfter: text("SELECT c.id, c.maxseq, c.msgs, c.bytes, (SELECT seq FROM Messages WHERE id = c.id AND seq > ? ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) FROM Channels AS c WHERE c.id = ?"),

		maxSubscriptionID:  "SELECT COALESCE(MAX(subid), 0) FROM (SELECT MAX(subid) AS subid FROM Subscriptions UNION ALL SELECT MAX(subid) AS subid FROM SubsPending UNION ALL SELECT MAX(consumer) AS subid FROM Consumers UNION ALL SELECT MAX(consumer) AS subid FROM ConsumersRedelivered UNION ALL SELECT MAX(consumer) AS subid FROM NamedConsumers UNION ALL SELECT MAX(consumer) AS subid FROM Parked) AS ids",
		subscriptions:      "SELECT id, subid, lastsent, proto, kind FROM Subscriptions WHERE deleted = FALSE ORDER BY subid",
		deleteSubscription: text("DELETE FROM Subscriptions WHERE id = ? AND subid = ?"),
		// "row" is a reserved word, and each database quotes it differently; a qualified name needs no quotes.
		pendings:         "SELECT subid, p.row, seq, lastsent, pending, acks FROM SubsPending AS p",
		deletePending:    text("DELETE FROM SubsPending WHERE subid = ?"),
		deleteOldPending: text("DELETE FROM SubsPending WHERE subid = ? AND SubsPending.row <> 0"),

		consumers:                "SELECT consumer, id, lastsent, members FROM Consumers ORDER BY consumer",
		consumersPending:         "SELECT consumer, part, pending FROM ConsumersPending ORDER BY consumer, part",
		deleteConsumer:           text("DELETE FROM Consumers WHERE consumer = ?"),
		deleteConsumerPending:    text("DELETE FROM ConsumersPending WHERE consumer = ?"),
		deleteConsumersOf:        text("DELETE FROM Consumers WHERE id = ?"),
		deleteConsumersPendingOf: text("DELETE FROM ConsumersPending WHERE consumer IN (SELECT consumer FROM Consumers WHERE id = ?)"),
		wildcards:                "SELECT consumer, pattern FROM Wildcards",
		deleteWildcard:           text("DELETE FROM Wildcards WHERE consumer = ?"),

		named:                        "SELECT consumer, channel, client, name, settings FROM NamedConsumers ORDER BY consumer",
		deleteNamed:                  text("DELETE FROM NamedConsumers WHERE consumer = ?"),
		deleteNamedOf:                text("DELETE FROM NamedConsumers WHERE channel = ?"),
		parkedKeys:                   "SELECT consumer, ordering_key, COUNT(*) FROM Parked GROUP BY consumer, ordering_key",
		parked:                       text("SELECT seq, deliveries, first_delivery, last_delivery, ordering_key, reason FROM Parked WHERE consumer = ? AND seq > ? ORDER BY seq LIMIT ?"),
		deleteParked:                 text("DELETE FROM Parked WHERE consumer = ?"),
		deleteParkedOf:               text("DELETE FROM Parked WHERE consumer IN (SELECT consumer FROM NamedConsumers WHERE channel = ?)"),
		redelivered:                  "SELECT consumer, part, counts FROM ConsumersRedelivered ORDER BY consumer, part",
		deleteConsumerRedelivered:    text("DELETE FROM ConsumersRedelivered WHERE consumer = ?"),
		deleteConsumersRedeliveredOf: text("DELETE FROM ConsumersRedelivered WHERE consumer IN (SELECT consumer FROM Consumers WHERE id = ?)"),
		cancelled:                    "SELECT id, seq FROM CancelledDeliveries ORDER BY id, seq",
		deleteCancelledOf:            text("DELETE FROM CancelledDeliveries WHERE id = ?"),
		maxAuditID:                   "SELECT COALESCE(MAX(id), 0) FROM AuditEntries",

		read:     text("SELECT seq, timestamp, data, event_version, position, erased FROM Messages WHERE id = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?"),
		timeFrom: text("SELECT seq, timestamp FROM Messages WHERE id = ? AND seq >= ? ORDER BY seq LIMIT 1"),

		aggregateForward:  text("SELECT seq, timestamp, data, event_version, position, erased FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND id = ? AND event_version >= ? ORDER BY event_version LIMIT ?"),
		aggregateBackward: text("SELECT seq, timestamp, data, event_version, position, erased FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND id = ? AND event_version <= ? ORDER BY event_version DESC LIMIT ?"),
		aggregatesWithID:  text("SELECT DISTINCT id, aggregate_type FROM Messages WHERE aggregate_id = ? ORDER BY id, aggregate_type"),
		eventsWithID:      text("SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages WHERE event_id = ? ORDER BY id"),

		lastChained: "SELECT position, chain FROM Messages WHERE position IS NOT NULL AND chain IS NOT NULL ORDER BY position DESC LIMIT 1",
		unchained:   text("SELECT position, id, seq, timestamp, event_id, event_type, aggregate_type, aggregate_id, event_version, appender, data FROM Messages WHERE position > ? ORDER BY position LIMIT ?"),
		insertHead:  text("INSERT INTO ChainHeads (position, hash, time, cluster_id, public_key, signature) VALUES (?, ?, ?, ?, ?, ?)"),
		lastHead:    "SELECT position, hash, time, cluster_id, public_key, signature FROM ChainHeads ORDER BY position DESC LIMIT 1",

		maxAppender:    "SELECT COALESCE(MAX(id), 0) FROM Appenders",
		appenderID:     text("SELECT id FROM Appenders WHERE principal = ? AND client_id = ? AND address = ?"),
		insertAppender: text("INSERT INTO Appenders (id, principal, client_id, address) VALUES (?, ?, ?, ?)"),
		appenderOf:     text("SELECT a.principal, a.client_id, a.address FROM Messages AS m JOIN Appenders AS a ON a.id = m.appender WHERE m.id = ? AND m.seq = ?"),

		audit: text("SELECT id, time, principal, address, action, target, detail FROM AuditEntries WHERE id < ? ORDER BY id DESC LIMIT ?"),

		maxErasureID:  "SELECT COALESCE(MAX(id), 0) FROM Erasures",
		erasureState:  text("SELECT state FROM Erasures WHERE id = ?"),
		endErasure:    text("UPDATE Erasures SET state = ?, selector = '', events = ?, copies = ?, erased = ? WHERE id = ?"),
		dropErased:    text("DELETE FROM ErasedMessages WHERE erasure = ?"),
		finishErasure: text("UPDATE Erasures SET state = ? WHERE id = ? AND state = ?"),
		erasures:      text("SELECT id, requested, principal, reason, selector, state, events, copies, erased FROM Erasures WHERE id < ? ORDER BY id DESC LIMIT ?"),
		openErasures:  "SELECT id, requested, principal, reason, selector, state, events, copies, erased FROM Erasures WHERE state <> 'done' ORDER BY id",

		hasEvents:        text("SELECT 1 FROM Messages WHERE id = ? AND event_type IS NOT NULL LIMIT 1"),
		countRange:       text("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM Messages WHERE id = ? AND seq >= ? AND seq <= ?"),
		deleteRange:      text("DELETE FROM Messages WHERE id = ? AND seq >= ? AND seq <= ?"),
		reduceChannel:    text("UPDATE Channels SET msgs = msgs - ?, bytes = bytes - ? WHERE id = ?"),
		deletedChannels:  "SELECT id FROM Channels WHERE deleted = TRUE ORDER BY id",
		markDeleted:      text("UPDATE Channels SET deleted = TRUE WHERE id = ?"),
		deletePendingsOf: text("DELETE FROM SubsPending WHERE subid IN (SELECT subid FROM Subscriptions WHERE id = ?)"),
		deleteSubsOf:     text("DELETE FROM Subscriptions WHERE id = ?"),
		deleteChannel:    text("DELETE FROM Channels WHERE id = ?"),
	}
}

// asWritten keeps the placeholders, as MySQL and SQLite take them.
func asWritten(text string) string { return text }

// numbered turns each ? into $1, $2 and so on, the placeholders of PostgreSQL. The text must have no other ?.
func numbered(text string) string {
	var out strings.Builder
	for n, part := range strings.Split(text, "?") {
		if n > 0 {
			out.WriteString("$" + strconv.Itoa(n))
		}
		out.WriteString(part)
	}
	return out.String()
}

func (s *statements) all() []string {
	return append([]string{
		s.readLease, s.takeLease, s.renewLease, s.releaseLease,
		s.givenPosition, s.lastPosition, s.advanceOrder, s.beginOrder, s.hasStep, s.insertStep, s.lateChannels, s.lastNumbered, s.unnumbered,
		s.serverInfo, s.putServerInfo,
		s.clients, s.putClient, s.deleteClient,
		s.relay, s.putRelay,
		s.maxChannelID, s.channels, s.changedChannels, s.logEnd, s.channel, s.channelAfter,
		s.maxSubscriptionID, s.subscriptions, s.putSubscription, s.deleteSubscription,
		s.pendings, s.deletePending, s.deleteOldPending,
		s.consumers, s.consumersPending, s.deleteConsumer, s.deleteConsumerPending, s.deleteConsumersOf, s.deleteConsumersPendingOf,
		s.wildcards, s.putWildcard, s.deleteWildcard,
		s.lastChained, s.unchained, s.insertHead, s.lastHead,
		s.audit, s.maxAppender, s.appenderID, s.insertAppender, s.appenderOf,
		s.named, s.putNamed, s.deleteNamed, s.deleteNamedOf,
		s.parkedKeys, s.parked, s.deleteParked, s.deleteParkedOf,
		s.redelivered, s.deleteConsumerRedelivered, s.deleteConsumersRedeliveredOf,
		s.cancelled, s.putCancelled, s.deleteCancelledOf, s.maxAuditID, s.putAudit,
		s.maxErasureID, s.putErasure, s.erasureState, s.endErasure, s.dropErased, s.finishErasure, s.erasures, s.openErasures,
		s.read, s.timeFrom,
		s.aggregateForward, s.aggregateBackward, s.aggregatesWithID, s.eventsWithID,
		s.hasEvents, s.countRange, s.deleteRange, s.reduceChannel,
		s.deletedChannels, s.markDeleted, s.deletePendingsOf, s.deleteSubsOf, s.deleteChannel,
	}, append(s.queryStatements.all(), s.more...)...)
}
