package verify

import "regexp"

// texts are the statements that differ between databases.
type texts struct {
	messages     string // (id, from sequence, limit) → the columns of row, by seq
	firstChannel string // (id) → the lowest id of Messages above it, or NULL
	countMessage string // (id) → number of messages, lowest and highest sequence
	hasEvents    string // (id) → a row if the channel holds an event
	taggedEvents string // (after, limit) → position, id, seq and tags of events with tags, by position
	hasTag       string // (tag, position) → a row if EventTags has it
	objects      string // () → kind, name, table and definition of what belongs to our tables, names in lower case
	integrity    string // () → the result of the database checking its own file, "ok" if it is sound; "" where it cannot

	lowest     int64             // no seq is below it
	wanted     []string          // required parts of the schema, as kind and name
	defined    map[string]string // definitions of those that the catalog shows in its own words
	definition *regexp.Regexp    // finds definitions in migrations: a name and the texts that the catalog shows
	defines    string            // the kind of what definition finds
	optional   map[string]string // definitions of parts that an administrator may add
}

// ourTables are the tables of the schema, in lower case.
const ourTables = "('serverinfo', 'clients', 'channels', 'messages', 'eventtags', 'timesteps', 'subscriptions', 'subspending', 'consumers', 'consumerspending', 'consumersredelivered', 'wildcards', 'namedconsumers', 'parked', 'cancelleddeliveries', 'auditentries', 'appenders', 'chainheads', 'erasures', 'erasedmessages', 'relays', 'storelock', 'goose_db_version')"
