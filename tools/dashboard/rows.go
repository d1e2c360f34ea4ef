package main

// A standby has no gauges but nats_streaming_active, and its counters stand still: sums over the servers are those of the
// active one.
var rows = []row{
	{"Overview", []panel{
		{title: "Active servers", description: "One server serves all clients of a database. 0: nobody does.", width: 3, figure: true,
			limits: []limit{{0, "red"}, {1, "green"}, {2, "red"}}, series: []series{{"active", `sum(nats_streaming_active{servers})`}}},
		{title: "Standbys", description: "Servers that take over if the active one ends.", width: 3, figure: true,
			limits: []limit{{0, "orange"}, {1, "green"}}, series: []series{{"standbys", `count(nats_streaming_active{servers}) - sum(nats_streaming_active{servers})`}}},
		{title: "Stored", description: "Published messages committed and acknowledged.", unit: "cps", width: 3, figure: true,
			series: []series{{"stored", `sum(rate(nats_streaming_stored_messages_total{servers}[$__rate_interval]))`}}},
		{title: "Delivered", description: "Messages sent to subscribers for the first time.", unit: "cps", width: 3, figure: true,
			series: []series{{"delivered", `sum(rate(nats_streaming_delivered_messages_total{servers}[$__rate_interval]))`}}},
		{title: "Commit, 99%", description: "99 of 100 commits take at most this long. Publishers wait for them.", unit: "s", width: 3, figure: true,
			limits: []limit{{0.1, "orange"}, {0.5, "red"}},
			series: []series{{"p99", `histogram_quantile(0.99, sum by (le) (rate(nats_streaming_commit_duration_seconds_bucket{servers}[$__rate_interval])))`}}},
		{title: "Oldest backlog", description: "Age of the oldest message that a durable or queue group has not acknowledged.", unit: "s", width: 3, figure: true,
			limits: []limit{{60, "orange"}, {300, "red"}}, series: []series{{"oldest", `max(nats_streaming_lag_seconds{servers} or nats_streaming_other_lag_seconds{servers})`}}},
		{title: "Refused and failed", description: "Requests refused and operations failed, for any reason, in the chosen time.", width: 3, figure: true,
			limits: []limit{{1, "orange"}}, series: []series{{"errors", `sum(increase(nats_streaming_errors_total{servers}[$__range]))`}}},
		{title: "Certificates", description: "Time until the first TLS certificate expires.", unit: "s", width: 3, figure: true,
			limits: []limit{{0, "red"}, {2 * 86400, "orange"}, {14 * 86400, "green"}},
			series: []series{{"expires in", `min(nats_streaming_certificate_expiry_timestamp_seconds{servers}) - time()`}}},
		{title: "Who is active", description: "1 while the server serves clients. A change is a takeover.", width: 8, max: 1,
			series: []series{{"{{instance}}", `nats_streaming_active{servers}`}}},
		{title: "Messages", description: "What the servers take in and hand out.", unit: "cps", width: 8, series: []series{
			{"stored", `sum(rate(nats_streaming_stored_messages_total{servers}[$__rate_interval]))`},
			{"delivered", `sum(rate(nats_streaming_delivered_messages_total{servers}[$__rate_interval]))`},
			{"delivered again", `sum(rate(nats_streaming_redelivered_messages_total{servers}[$__rate_interval]))`},
		}},
		{title: "Versions", description: "Servers and their versions.", width: 8, figure: true, names: true,
			series: []series{{"{{instance}} {{version}}", `nats_streaming_info{servers}`}}},
	}},
	{"Publishers", []panel{
		{title: "Publish requests", description: "Received from all doors. What is received and not stored was refused, stored before, or still waits.", unit: "cps", width: 8, series: []series{
			{"received", `sum(rate(nats_streaming_received_messages_total{servers}[$__rate_interval]))`},
			{"stored", `sum(rate(nats_streaming_stored_messages_total{servers}[$__rate_interval]))`},
			{"already stored", `sum(rate(nats_streaming_duplicate_messages_total{servers}[$__rate_interval]))`},
			{"copied by routes", `sum(rate(nats_streaming_routed_messages_total{servers}[$__rate_interval]))`},
		}},
		{title: "Commits", description: "Time to commit one batch. Publishers wait for one or two.", unit: "s", width: 8, limits: []limit{{0.5, "red"}}, series: []series{
			{"50%", `histogram_quantile(0.5, sum by (le) (rate(nats_streaming_commit_duration_seconds_bucket{servers}[$__rate_interval])))`},
			{"95%", `histogram_quantile(0.95, sum by (le) (rate(nats_streaming_commit_duration_seconds_bucket{servers}[$__rate_interval])))`},
			{"99%", `histogram_quantile(0.99, sum by (le) (rate(nats_streaming_commit_duration_seconds_bucket{servers}[$__rate_interval])))`},
		}},
		{title: "Refused", description: "Publishes and appends that got an error, by reason. wrong_version is a lost race; the log names the publishers of the others.", unit: "cps", width: 8,
			series: []series{{"{{operation}} {{kind}}", `sum by (operation, kind) (rate(nats_streaming_errors_total{servers, operation=~"publish|append"}[$__rate_interval])) > 0`}}},
		{title: "Bytes received", description: "Bytes of the publish requests.", unit: "Bps", width: 8,
			series: []series{{"received", `sum(rate(nats_streaming_received_bytes_total{servers}[$__rate_interval]))`}}},
		{title: "Memory of unanswered messages", description: "At its bound (-publish_memory), messages of NATS Streaming clients wait in files and calls of the API wait.", unit: "bytes", width: 8, series: []series{
			{"in memory", `sum(nats_streaming_publish_memory_bytes{servers})`},
			{"bound", `sum(nats_streaming_publish_memory_limit_bytes{servers})`},
		}},
		{title: "Unanswered messages", description: "Of NATS Streaming clients, those that wait in files included.", width: 8,
			series: []series{{"unanswered", `sum(nats_streaming_queued_publishes{servers})`}}},
	}},
	{"Channels", []panel{
		{title: "Busiest channels", description: "Sequences assigned, of the ten with the most.", unit: "cps", width: 8,
			series: []series{{"{{channel}}", `topk(10, sum by (channel) (rate(nats_streaming_channel_last_sequence{servers}[$__rate_interval])))`}}},
		{title: "Largest channels", description: "Bytes of the stored messages, of the ten with the most.", unit: "bytes", width: 8,
			series: []series{{"{{channel}}", `topk(10, sum by (channel) (nats_streaming_channel_message_bytes{servers}))`}}},
		{title: "Stored bytes", description: "Encoded messages of all channels. Indexes and columns come on top.", unit: "bytes", width: 8,
			series: []series{{"all channels", `sum(nats_streaming_message_bytes{servers})`}}},
		{title: "Stored messages", description: "In all channels.", width: 12, series: []series{{"all channels", `sum(nats_streaming_messages{servers})`}}},
		{title: "Channels", description: "The others have no series of their own, as they are beyond -metrics_series.", width: 12, series: []series{
			{"channels", `sum(nats_streaming_channels{servers})`},
			{"others", `sum(nats_streaming_other_channels{servers})`},
		}},
	}},
	{"Subscribers", []panel{
		{title: "Oldest backlogs", description: "Age of the first message that is not acknowledged, of the ten oldest. A line that rises by a second each second is stuck.", unit: "s", width: 12,
			limits: []limit{{300, "red"}}, series: []series{
				{"{{channel}} {{client_id}} {{durable_name}}{{queue_name}}", `topk(10, sum by (channel, client_id, durable_name, queue_name) (nats_streaming_lag_seconds{servers}))`},
				{"others", `max(nats_streaming_other_lag_seconds{servers})`},
			}},
		{title: "Longest backlogs", description: "Messages not received yet or not acknowledged, of the ten durables and queue groups with the most.", width: 12, series: []series{
			{"{{channel}} {{client_id}} {{durable_name}}{{queue_name}}", `topk(10, sum by (channel, client_id, durable_name, queue_name) (nats_streaming_lag_messages{servers}))`},
			{"others", `sum(nats_streaming_other_lag_messages{servers})`},
		}},
		{title: "Deliveries", description: "Many repetitions mean that subscribers acknowledge too late or not at all.", unit: "cps", width: 8, series: []series{
			{"first", `sum(rate(nats_streaming_delivered_messages_total{servers}[$__rate_interval]))`},
			{"again", `sum(rate(nats_streaming_redelivered_messages_total{servers}[$__rate_interval]))`},
			{"acknowledged", `sum(rate(nats_streaming_acks_total{servers}[$__rate_interval]))`},
			{"read from the database", `sum(rate(nats_streaming_replayed_messages_total{servers}[$__rate_interval]))`},
		}},
		{title: "Parked", description: "Messages that were rejected, or not acknowledged in as many deliveries as the settings allow, of the ten durables and queue groups with the most.", width: 8, limits: []limit{{1, "orange"}}, series: []series{
			{"{{channel}} {{client_id}} {{durable_name}}{{queue_name}}", `topk(10, sum by (channel, client_id, durable_name, queue_name) (nats_streaming_parked_messages{servers}))`},
			{"others", `sum(nats_streaming_other_parked_messages{servers})`},
		}},
		{title: "Stalled, paused", description: "Time since a durable or queue group stalled at a message; how many are paused; how often redeliveries waited for the rate that all share.", width: 8, series: []series{
			{"{{channel}} {{client_id}} {{durable_name}}{{queue_name}}, s", `topk(10, sum by (channel, client_id, durable_name, queue_name) (nats_streaming_stalled_seconds{servers}))`},
			{"paused", `sum(nats_streaming_paused{servers})`},
			{"slowed redeliveries a second", `sum(rate(nats_streaming_slowed_redeliveries_total{servers}[$__rate_interval]))`},
		}},
		{title: "At the limit", description: "Messages that reached their limit of deliveries, or were rejected, by what was done.", unit: "cps", width: 8,
			series: []series{{"{{action}}", `sum by (action) (rate(nats_streaming_limited_messages_total{servers}[$__rate_interval]))`}}},
		{title: "Bytes sent", description: "To subscribers, repetitions included.", unit: "Bps", width: 8,
			series: []series{{"sent", `sum(rate(nats_streaming_sent_bytes_total{servers}[$__rate_interval]))`}}},
		{title: "Clients and subscriptions", description: "Offline are durables without a subscriber.", width: 8, series: []series{
			{"clients", `sum(nats_streaming_clients{servers})`},
			{"subscriptions, {{state}}", `sum by (state) (nats_streaming_subscriptions{servers})`},
		}},
	}},
	{"Database", []panel{
		{title: "Age of the lease", description: "Time since the database confirmed it. Above 3 s another server may take it.", unit: "s", width: 8, limits: []limit{{3, "red"}},
			series: []series{{"{{instance}}", `nats_streaming_lease_age_seconds{servers}`}}},
		{title: "Failures", description: "Operations that the database failed, or could not be reached for.", unit: "cps", width: 8,
			series: []series{{"{{operation}}", `sum by (operation) (rate(nats_streaming_errors_total{servers, kind=~"unavailable|outcome_unknown|fenced"}[$__rate_interval]))`}}},
		{title: "Commits per second", description: "Messages share commits while one runs: many per commit mean that the database is the bound.", width: 8, series: []series{
			{"commits a second", `sum(rate(nats_streaming_commit_duration_seconds_count{servers}[$__rate_interval]))`},
			{"messages per commit", `sum(rate(nats_streaming_commit_batch_messages_sum{servers}[$__rate_interval])) / sum(rate(nats_streaming_commit_batch_messages_count{servers}[$__rate_interval]))`},
		}},
		{title: "Damaged rows", description: "What depends on them is out of service; /streaming/storez lists them.", width: 12, limits: []limit{{1, "red"}},
			series: []series{{"damaged", `sum(nats_streaming_damaged_rows{servers})`}}},
		{title: "Clock", description: "How far the clock is behind the newest message.", unit: "s", width: 12, limits: []limit{{60, "red"}},
			series: []series{{"{{instance}}", `nats_streaming_clock_behind_seconds{servers}`}}},
	}},
	{"Routes and relays", []panel{
		{title: "Relay lag", description: "Age of the oldest event that is not in the stream yet.", unit: "s", width: 8, limits: []limit{{300, "red"}}, series: []series{
			{"{{stream}}", `max by (stream) (nats_streaming_relay_lag_seconds{servers} or nats_streaming_relay_other_lag_seconds{servers})`},
		}},
		{title: "Relay backlog", description: "Events of all channels that the relay has not processed yet.", width: 8,
			series: []series{{"{{stream}}", `sum by (stream) (nats_streaming_relay_lag_messages{servers}) + sum by (stream) (nats_streaming_relay_other_lag_messages{servers})`}}},
		{title: "Relayed", description: "Events that streams acknowledged, and attempts that failed.", unit: "cps", width: 8, series: []series{
			{"{{stream}}", `sum by (stream) (rate(nats_streaming_relay_published_total{servers}[$__rate_interval]))`},
			{"{{stream}}, failed", `sum by (stream) (rate(nats_streaming_relay_failures_total{servers}[$__rate_interval]))`},
		}},
	}},
	{"API and clients", []panel{
		{title: "Calls", description: "Finished calls of gRPC and HTTP, by method.", unit: "reqps", width: 8,
			series: []series{{"{{method}}", `sum by (method) (rate(nats_streaming_api_requests_total{servers}[$__rate_interval])) > 0`}}},
		{title: "Calls without success", description: "By code, as the caller got it.", unit: "reqps", width: 8,
			series: []series{{"{{code}}", `sum by (code) (rate(nats_streaming_api_requests_total{servers, code!="ok"}[$__rate_interval]))`}}},
		{title: "Requests refused", description: "By operation: connects, subscriptions and pings of NATS Streaming, and calls of the API.", unit: "cps", width: 8, series: []series{
			{"{{operation}}", `sum by (operation) (rate(nats_streaming_errors_total{servers, operation!~"delivery|progress|retention|lease"}[$__rate_interval]))`},
			{"connections of {{port}}", `sum by (port) (rate(nats_streaming_refused_connections_total{servers}[$__rate_interval]))`},
		}},
	}},
	{"Processes", []panel{
		{title: "Memory", description: "Of the process, and what of it Go's heap uses.", unit: "bytes", width: 8, series: []series{
			{"{{instance}}", `process_resident_memory_bytes{servers}`},
			{"{{instance}} heap", `go_memstats_heap_inuse_bytes{servers}`},
		}},
		{title: "Processor", description: "Cores in use.", width: 8, series: []series{{"{{instance}}", `rate(process_cpu_seconds_total{servers}[$__rate_interval])`}}},
		{title: "Goroutines", description: "They follow the clients. Growth without new clients is a leak.", width: 8, series: []series{{"{{instance}}", `go_goroutines{servers}`}}},
		{title: "File descriptors", description: "Without any left, the server accepts no connections.", width: 8, series: []series{
			{"{{instance}}", `process_open_fds{servers}`},
			{"{{instance}} limit", `process_max_fds{servers}`},
		}},
		{title: "Uptime", description: "Time since the process started.", unit: "s", width: 8, series: []series{{"{{instance}}", `time() - process_start_time_seconds{servers}`}}},
		{title: "Connected to NATS", description: "1 while the active server is connected.", width: 8, max: 1, series: []series{{"{{instance}}", `nats_streaming_connected{servers}`}}},
	}},
}
