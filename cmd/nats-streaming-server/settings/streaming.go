package settings

import (
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// streamingSettings are the options of NATS Streaming itself.
var streamingSettings = []setting{
	{
		flags: []string{"cid", "cluster_id"}, keys: []string{"id", "cid", "cluster_id"}, value: "<id>",
		usage: "Cluster ID", def: "test-cluster",
		set: setString(func(o *Options) *string { return &o.ClusterID }),
	},
	{
		flags: []string{"discover_prefix"}, keys: []string{"discover_prefix"}, value: "<subject>",
		usage: "Subject prefix of connect requests", def: "_STAN.discover",
		state: better, note: "also a flag",
		set: setString(func(o *Options) *string { return &o.DiscoverPrefix }),
	},
	{
		flags: []string{"inbox_prefixes"}, keys: []string{"inbox_prefixes"}, kind: list, value: "<prefix,...>",
		usage: "Prefixes of clients' inboxes, besides _INBOX, for clients that choose one of their own",
		state: added,
		set: func(o *Options, v, _ string) error {
			o.InboxPrefixes = splitList(v)
			return nil
		},
	},
	{
		flags: []string{"sc", "stan_config"}, value: "<file>",
		usage: "Configuration file of the streaming part; without -c, also of NATS",
		set:   setString(func(o *Options) *string { return &o.streamingFile }),
	},
	{
		flags: []string{"hbi", "hb_interval"}, keys: []string{"hbi", "hb_interval", "server_to_client_hb_interval"}, kind: duration,
		usage: "Interval between heartbeats to clients", def: "30s",
		set: setDuration(func(o *Options) *time.Duration { return &o.HeartbeatInterval }),
	},
	{
		flags: []string{"hbt", "hb_timeout"}, keys: []string{"hbt", "hb_timeout", "server_to_client_hb_timeout"}, kind: duration,
		usage: "How long to wait for a client's reply to a heartbeat", def: "10s",
		set: setDuration(func(o *Options) *time.Duration { return &o.HeartbeatTimeout }),
	},
	{
		flags: []string{"hbf", "hb_fail_count"}, keys: []string{"hbf", "hb_fail_count", "server_to_client_hb_fail_count"}, kind: count,
		usage: "Number of failed heartbeats before a client's connection is closed", def: "10",
		set: setCount(func(o *Options) *int { return &o.HeartbeatFailures }),
	},
	{
		flags: []string{"replace_durable"}, kind: toggle,
		keys:  []string{"replace_durable", "replace_durables", "replace_duplicate_durable", "replace_duplicate_durables"},
		usage: "A second subscription to a durable replaces the active one",
		set:   setBool(func(o *Options) *bool { return &o.ReplaceDurables }),
	},
	{
		flags: []string{"wildcards"}, keys: []string{"wildcards"}, kind: toggle,
		usage: "Lets clients subscribe to patterns of event channels, such as eventstore.> or orders.*",
		state: added,
		set:   setBool(func(o *Options) *bool { return &o.Wildcards }),
	},
	{
		flags: []string{"ft_group"}, keys: []string{"ft_group", "ft_group_name"}, value: "<name>",
		usage: "Group name; makes monitoring report FT_ACTIVE and FT_STANDBY (standbys do not need it)",
		state: better, note: "every additional server on the same database is a standby, with any store and without a group",
		set: func(o *Options, v, _ string) error {
			o.FTGroup = v
			o.Notices = append(o.Notices, "ft_group is not needed: every additional server on the same database is a standby")
			return nil
		},
	},
	{
		flags: []string{"SD", "stan_debug"}, keys: []string{"sd", "stan_debug"}, kind: toggle,
		usage: "Debug output of the streaming part",
		set:   setBool(func(o *Options) *bool { return &o.Debug }),
	},
	{
		flags: []string{"SV", "stan_trace"}, keys: []string{"sv", "stan_trace"}, kind: toggle,
		usage: "Trace output of the streaming part",
		set:   setBool(func(o *Options) *bool { return &o.Trace }),
	},
	{
		flags: []string{"SDV"}, kind: toggle,
		usage: "Debug and trace output of the streaming part",
		set:   setBool(func(o *Options) *bool { return &o.Debug }, func(o *Options) *bool { return &o.Trace }),
	},
	setting{
		flags: []string{"log_format"}, keys: []string{"log_format"}, value: "<text|json>",
		usage: "Format of the log: text, or a JSON object on each line",
		state: added, note: "also of the lines of the NATS server",
		set: func(o *Options, v, _ string) error {
			o.LogFormat = strings.ToLower(v)
			return nil
		},
	}.or(config.LogText, config.LogText, config.LogJSON),
	{
		flags: []string{"metrics_series"}, keys: []string{"metrics_series"}, kind: count,
		usage: "Channels, and durables and queue groups, that have metrics of their own", def: "1000",
		state: added, note: "the metrics of the others are added up",
		set: setCount(func(o *Options) *int { return &o.MetricsSeries }),
	},
	{
		flags: []string{"syslog_name"}, keys: []string{"syslog_name"}, value: "<name>",
		usage: "Name of the event source in the Windows event log",
		set:   setString(func(o *Options) *string { return &o.SyslogName }),
	},
}
