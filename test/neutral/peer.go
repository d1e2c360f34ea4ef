package main

import "context"

// A peer is who is measured.
type peer struct {
	name       string
	about      string // sentences of the report
	durability string // what an acknowledgement means
	disk       string // where the events are: peers of one disk are compared
	abilities  ability
	parts      []string // of the report that it takes; nil: all
	start      func(context.Context, *place) (store, error)
}

// What holds the events.
const (
	onPostgres = "PostgreSQL"
	onFiles    = "files"
)

const (
	oursPostgres = "ours-postgres"
	oursSQL      = "ours-sql"
	oursSQLite   = "ours-sqlite"
	byHand       = "table"

	durablePostgres = "PostgreSQL has `fsync=on`, `synchronous_commit=on`, `full_page_writes=on`: its log is synced before a commit is acknowledged."
)

// peers are in the order of the report.
var peers = []peer{
	{
		name:       oursPostgres,
		about:      "this server with its defaults, through its API (`-grpc_port`) and the Go library. A category is a channel, a stream an aggregate.",
		durability: durablePostgres,
		disk:       onPostgres, abilities: reads | expects, start: startOursOnPostgres,
	},
	{
		name:       oursSQL,
		about:      "the same, but readers ask PostgreSQL through pgx: SQL on the view `events`, as any program may.",
		durability: durablePostgres,
		disk:       onPostgres, abilities: reads | expects, parts: []string{calling, reading, mixing}, start: startOursWithSQL,
	},
	{
		name:       oursSQLite,
		about:      "as `ours-postgres`, on SQLite.",
		durability: "SQLite has a WAL and `synchronous=FULL`: the WAL is synced before a commit is acknowledged.",
		disk:       onFiles, abilities: reads | expects, start: startOursOnSQLite,
	},
	{
		name: byHand,
		about: "a table of events made by hand, as a careful team makes it, through pgx: `UNIQUE (id, version)`, and an index by category and transaction, " +
			"since readers in the order of an identity column alone would miss events that commit late. Followers ask every 10 ms when there is nothing.",
		durability: durablePostgres,
		disk:       onPostgres, abilities: reads | expects, start: startTable,
	},
	{
		name:       "message-db",
		about:      "Message DB " + messageDBVersion + ", the functions of its own SQL through pgx. Writers of one category wait for each other's commit: that is how it keeps the order. Followers ask every 10 ms when there is nothing.",
		durability: durablePostgres,
		disk:       onPostgres, abilities: reads | expects, start: startMessageDB,
	},
	{
		name:       "jetstream",
		about:      "JetStream, one stream in files. A stream of events is a subject; an append expects the last sequence of its subject. Reads are direct batch gets, followers ordered consumers. Several events are not appended atomically.",
		durability: "`sync_interval: always`: synced before it is acknowledged.",
		disk:       onFiles, abilities: reads | expects, start: startJetStream,
	},
	{
		name:       "reference",
		about:      "NATS Streaming with `-sql_no_caching`, as an event store must run it. A category is a channel. It has no streams in it: nothing is expected of an append, and no stream can be read.",
		durability: durablePostgres,
		disk:       onPostgres, start: startReference,
	},
	{
		name:       "reference-file",
		about:      "the same with `-store FILE`.",
		durability: "`-file_sync`, its default: files are synced before an acknowledgement.",
		disk:       onFiles, start: startReferenceFile,
	},
}

func peerNames() (list []string) {
	for _, p := range peers {
		list = append(list, p.name)
	}
	return list
}
