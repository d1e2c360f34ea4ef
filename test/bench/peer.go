package main

import "context"

// The columns of the report.
const (
	ours            = "ours"
	before          = "before"
	reference       = "reference"
	referenceCached = "reference-cached"
	referenceBulk   = "reference-bulk"
	referenceFile   = "reference-file"
	jetStreamAlways = "jetstream-always"
	jetStream       = "jetstream"
	raw             = "raw"
	transport       = "transport"
)

// noDatabase is the database of a peer that has its own files, or none.
const noDatabase = "files"

var allDatabases = []string{"sqlite", "postgres", "mysql"}

// peers are described as the report describes them.
var peers = []struct{ name, about string }{
	{ours, "this server."},
	{before, "another build of this server (`-before`)."},
	{reference, "NATS Streaming with `-sql_no_caching`, as an event store must run it: it acknowledges what is committed. It stores no event columns."},
	{referenceCached, "the same with its default cache."},
	{referenceBulk, "the same with its cache and `-sql_bulk_insert_limit 1000`."},
	{referenceFile, "NATS Streaming with `-store FILE`, which syncs its files (`-file_sync`)."},
	{jetStreamAlways, "JetStream of a current nats-server with `sync_interval: always`: synced before it is acknowledged."},
	{jetStream, "JetStream with its default, which acknowledges before it syncs, up to two minutes."},
	{raw, "the same rows with the same indexes by SQL on one connection through the same driver: publish: INSERT of 500 rows per commit; 1 synchronous publisher: one row per commit; replay: SELECT by key, 1,000 rows at a time."},
	{transport, "NATS alone: a stand-in that speaks NATS Streaming's protocol to the same client and stores nothing. Publish: it acknowledges at once; replay: it sends the same bytes from memory."},
}

func peerNames() (list []string) {
	for _, p := range peers {
		list = append(list, p.name)
	}
	return list
}

// A peerID says who is measured, and on which database.
type peerID struct{ name, database string }

func (id peerID) on() string {
	if id.database == noDatabase {
		return id.name
	}
	return id.name + " on " + id.database
}

// takes reports whether a load makes sense.
func (id peerID) takes(l load) bool {
	if id.name == raw {
		return l.kind == publishAsync && l.window == wideWindow && l.publishers == 1 ||
			l.kind == publishSync && l.publishers == 1 || l.kind == replay && l.subscribers == 1
	}
	return id.name != transport || l.kind != publishLive
}

// A peer runs loads of events of a size and returns messages per second.
type peer interface {
	run(ctx context.Context, l load, size int) (float64, error)
}

// chosen are the peers of the flags, those on one database side by side.
func (s *setup) chosen() (list []peerID) {
	for _, database := range append(allDatabases, noDatabase) {
		if database != noDatabase && !s.databases.Has(database) || database == noDatabase && s.commitDelay > 0 {
			continue // those without database would not be delayed
		}
		for _, p := range peers {
			if exists(p.name, database) && s.peers.Has(p.name) && (p.name != before || s.before != "") {
				list = append(list, peerID{p.name, database})
			}
		}
	}
	return list
}

// exists reports whether a peer can run on a database.
func exists(name, database string) bool {
	switch name {
	case reference, referenceCached, referenceBulk:
		return database == "postgres" || database == "mysql"
	case referenceFile, jetStream, jetStreamAlways, transport:
		return database == noDatabase
	}
	return database != noDatabase
}
