package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// setting is one option: its flags, its keys in the configuration file, and what its value does.
type setting struct {
	flags []string
	keys  []string // in the streaming block, with dots for nested ones
	value string   // what the usage calls the value; "" for a switch, which needs none
	usage string
	set   func(o *options, v string) error
}

// settings are all options of the streaming part, in the order of the usage. Names and aliases are NATS
// Streaming's.
var settings = []setting{
	{
		flags: []string{"cid", "cluster_id"}, keys: []string{"id", "cid", "cluster_id"}, value: "<id>",
		usage: "Cluster ID (default test-cluster)",
		set:   func(o *options, v string) error { o.ClusterID = v; return nil },
	},
	{
		flags: []string{"st", "store"}, keys: []string{"st", "store", "store_type", "storetype"}, value: "<type>",
		usage: "Store: FILE (embedded SQLite, the default), MEMORY or SQL",
		set:   func(o *options, v string) error { o.store = v; return nil },
	},
	{
		flags: []string{"dir"}, keys: []string{"dir", "datastore"}, value: "<directory>",
		usage: "Directory of the FILE store (default ./data)",
		set:   func(o *options, v string) error { o.dir = v; return nil },
	},
	{
		flags: []string{"sql_driver"}, keys: []string{"sql.driver", "sql_options.driver"}, value: "<driver>",
		usage: "Database of the SQL store: postgres, mysql or sqlite",
		set:   func(o *options, v string) error { o.Store.Driver = v; return nil },
	},
	{
		flags: []string{"sql_source"}, keys: []string{"sql.source", "sql_options.source"}, value: "<dsn>",
		usage: "Data source name of the SQL store",
		set:   func(o *options, v string) error { o.Store.Source = v; return nil },
	},
	{
		flags: []string{"sql_max_open_conns"}, value: "<n>",
		keys:  []string{"sql.max_open_conns", "sql.max_conns", "sql_options.max_open_conns", "sql_options.max_conns"},
		usage: "Maximum number of connections to the database (default 10)",
		set: func(o *options, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return fmt.Errorf("%q is not a number of connections", v)
			}
			o.Store.MaxOpenConns = n
			return nil
		},
	},
	{
		flags: []string{"sql_no_migrate"}, keys: []string{"sql.no_migrate", "sql_options.no_migrate"},
		usage: "Do not change the database's schema; stop if it is behind",
		set:   func(o *options, v string) error { return setBool(&o.Store.NoMigrate, v) },
	},
	{
		flags: []string{"sql_no_caching"}, keys: []string{"sql.no_caching", "sql_options.no_caching"},
		usage: "Accepted, no longer needed",
		set: func(o *options, _ string) error {
			o.Notices = append(o.Notices, "sql_no_caching is no longer needed: nothing is cached before it is committed, every acknowledged message is in the database")
			return nil
		},
	},
	{
		flags: []string{"sql_bulk_insert_limit"}, keys: []string{"sql.bulk_insert_limit", "sql_options.bulk_insert_limit"}, value: "<n>",
		usage: "Accepted, no longer needed",
		set: func(o *options, _ string) error {
			o.Notices = append(o.Notices, "sql_bulk_insert_limit is no longer needed: messages that wait for a commit are always inserted together")
			return nil
		},
	},
	{
		flags: []string{"event_channels"}, keys: []string{"events.channels"}, value: "<patterns>",
		usage: "Channels whose messages must be events, comma separated (default eventstore.>)",
		set: func(o *options, v string) error {
			o.EventChannels = nil
			for p := range strings.SplitSeq(v, ",") {
				if p = strings.TrimSpace(p); p != "" {
					o.EventChannels = append(o.EventChannels, p)
				}
			}
			return nil
		},
	},
	{
		flags: []string{"ns", "nats_server"}, keys: []string{"ns", "nats_server", "nats_server_url"}, value: "<url>",
		usage: "Use these NATS servers instead of the embedded one",
		set:   func(o *options, v string) error { o.NATSURL = v; return nil },
	},
	{
		flags: []string{"discover_prefix"}, keys: []string{"discover_prefix"}, value: "<subject>",
		usage: "Subject prefix of connect requests (default _STAN.discover)",
		set:   func(o *options, v string) error { o.DiscoverPrefix = v; return nil },
	},
	{
		flags: []string{"hbi", "hb_interval"}, keys: []string{"hbi", "hb_interval", "server_to_client_hb_interval"}, value: "<duration>",
		usage: "Interval of heartbeats to clients (default 30s)",
		set:   func(o *options, v string) error { return setDuration(&o.HeartbeatInterval, v) },
	},
	{
		flags: []string{"hbt", "hb_timeout"}, keys: []string{"hbt", "hb_timeout", "server_to_client_hb_timeout"}, value: "<duration>",
		usage: "How long a heartbeat waits for its reply (default 10s)",
		set:   func(o *options, v string) error { return setDuration(&o.HeartbeatTimeout, v) },
	},
	{
		flags: []string{"hbf", "hb_fail_count"}, keys: []string{"hbf", "hb_fail_count", "server_to_client_hb_fail_count"}, value: "<n>",
		usage: "Failed heartbeats that a client survives (default 10)",
		set: func(o *options, v string) (err error) {
			o.HeartbeatFailures, err = strconv.Atoi(v)
			return err
		},
	},
	{
		flags: []string{"store_timeout"}, keys: []string{"store_timeout"}, value: "<duration>",
		usage: "How long clients wait for an unavailable database before they get an error (default 5s)",
		set:   func(o *options, v string) error { return setDuration(&o.StoreTimeout, v) },
	},
	{
		flags: []string{"SD", "stan_debug"}, keys: []string{"sd", "stan_debug"},
		usage: "Debug output of the streaming part",
		set:   func(o *options, v string) error { return setBool(&o.Debug, v) },
	},
	{
		flags: []string{"SV", "stan_trace"}, keys: []string{"sv", "stan_trace"},
		usage: "Trace output of the streaming part",
		set:   func(o *options, v string) error { return setBool(&o.Trace, v) },
	},
	{
		flags: []string{"SDV"},
		usage: "Debug and trace output of the streaming part",
		set: func(o *options, v string) error {
			return errors.Join(setBool(&o.Debug, v), setBool(&o.Trace, v))
		},
	},
}

func setBool(p *bool, v string) (err error) {
	*p, err = strconv.ParseBool(v)
	return err
}

func setDuration(p *time.Duration, v string) (err error) {
	*p, err = time.ParseDuration(v)
	return err
}
