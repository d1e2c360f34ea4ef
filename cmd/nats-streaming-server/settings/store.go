package settings

import "time"

var sqlBlocks = []string{"sql", "sql_options"}

// storeSettings configure the store.
var storeSettings = []setting{
	{
		flags: []string{"st", "store"}, keys: []string{"st", "store", "store_type", "storetype"}, value: "<type>",
		usage: "FILE (embedded SQLite), MEMORY or SQL", def: "FILE",
		state: better, note: "the default is FILE, not MEMORY; a FILE store is an SQLite database",
		set: setString(func(o *Options) *string { return &o.StoreType }),
	},
	{
		flags: []string{"dir"}, keys: []string{"dir", "datastore"}, value: "<directory>",
		usage: "Directory of the FILE store, and of JetStream", def: "./data", needs: directory,
		state: better, note: "has a default; a directory with a FILE store of NATS Streaming is refused, not ignored",
		set: setString(func(o *Options) *string { return &o.Dir }),
	},
	{
		flags: []string{"sql_driver"}, keys: under(sqlBlocks, "driver"), value: "<driver>",
		usage: "Database of the SQL store: postgres, mysql or sqlite", values: []string{"postgres", "mysql", "sqlite"}, needs: sqlStore,
		state: better, note: "also supports sqlite",
		set: setString(func(o *Options) *string { return &o.Store.Driver }),
	},
	{
		flags: []string{"sql_source"}, keys: under(sqlBlocks, "source"), value: "<dsn>",
		usage: "Data source name of the SQL store", secret: true, needs: sqlStore,
		set: setString(func(o *Options) *string { return &o.Store.Source }),
	},
	{
		flags: []string{"sql_max_open_conns"}, keys: under(sqlBlocks, "max_open_conns", "max_conns"), kind: count,
		usage: "Maximum number of connections to the database", def: "10", needs: diskStore,
		state: better, note: "bounded by default",
		set: setCount(func(o *Options) *int { return &o.Store.MaxOpenConns }),
	},
	{
		flags: []string{"sql_no_migrate"}, keys: under(sqlBlocks, "no_migrate"), kind: toggle,
		usage: "Do not migrate the database's schema; stop if it is out of date", needs: diskStore,
		state: added,
		set:   setBool(func(o *Options) *bool { return &o.Store.NoMigrate }),
	},
	{
		flags: []string{"index_event_data"}, keys: []string{"events.index_event_data"}, kind: list, value: "<paths>",
		usage: "JSON paths to index for queries, comma-separated, such as $.customer_id; on PostgreSQL also document",
		state: added,
		set: func(o *Options, v, _ string) error {
			o.Store.IndexEventData = splitList(v)
			return nil
		},
	},
	{
		flags: []string{"index_metadata"}, keys: []string{"events.index_metadata"}, kind: list, value: "<paths>",
		usage: "JSON paths of metadata to index, comma-separated, such as $.correlation_id",
		state: added,
		set: func(o *Options, v, _ string) error {
			o.Store.IndexMetadata = splitList(v)
			return nil
		},
	},
	{
		flags: []string{"store_timeout"}, keys: []string{"store_timeout"}, kind: duration,
		usage: "How long clients wait for an unavailable database before they get an error", def: "5s",
		state: added,
		set:   setDuration(func(o *Options) *time.Duration { return &o.StoreTimeout }),
	},
	{
		flags: []string{"record_appenders"}, keys: []string{"record_appenders"}, kind: toggle,
		usage: "Record who appended each message: principal, client ID and address (docs/operate/proof.md)",
		state: added,
		set:   setBool(func(o *Options) *bool { return &o.RecordAppenders }),
	},
	{
		flags: []string{"chain_key"}, keys: []string{"chain_key"}, value: "<file>",
		usage: "Private key that signs heads of the chain of hashes; eventstore chain keygen makes one (docs/operate/proof.md)",
		state: added,
		set:   setString(func(o *Options) *string { return &o.ChainKeyFile }),
	},
	{
		flags: []string{"chain_file"}, keys: []string{"chain_file"}, value: "<file>",
		usage: "File that gets a line for each head of the chain of hashes",
		state: added,
		set:   setString(func(o *Options) *string { return &o.ChainFile }),
	},
	{
		flags: []string{"chain_interval"}, keys: []string{"chain_interval"}, kind: duration,
		usage: "How often a head of the chain of hashes is made, if there are new events", def: "1m",
		state: added,
		set:   setDuration(func(o *Options) *time.Duration { return &o.ChainInterval }),
	},
	{
		flags: []string{"tail_bytes"}, keys: []string{"tail_bytes"}, kind: size,
		usage: "Memory for the latest messages of all channels, which live subscribers read", def: "64MB",
		state: added,
		set:   setSize(func(o *Options) *int64 { return &o.TailBytes }),
	},
	{
		flags: []string{"read_ahead_bytes"}, keys: []string{"read_ahead_bytes"}, kind: size,
		usage: "Memory for stored messages that are read ahead for subscribers", def: "64MB",
		state: added,
		set:   setSize(func(o *Options) *int64 { return &o.ReadAheadBytes }),
	},
	{
		flags: []string{"aggregate_cache"}, keys: []string{"aggregate_cache"}, kind: size,
		usage: "Memory for the versions of recently used aggregates", def: "32MB",
		state: added,
		set:   setSize(func(o *Options) *int64 { return &o.Store.HeadBytes }),
	},
	{
		flags: []string{"publish_memory"}, keys: []string{"publish_memory"}, kind: size,
		usage: "Memory for uncommitted messages; beyond it, messages wait in files and API requests wait", def: "64MB",
		state: added,
		set:   setSize(func(o *Options) *int64 { return &o.PublishMemory }),
	},
	{
		flags: []string{"publish_dir"}, keys: []string{"publish_dir"}, value: "<directory>",
		usage: "Directory of those files", def: "the system's temporary directory",
		state: added,
		set:   setString(func(o *Options) *string { return &o.PublishDir }),
	},
}
