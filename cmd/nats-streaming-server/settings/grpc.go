package settings

import (
	"errors"
	"strconv"
	"strings"
)

var grpcBlock = []string{"grpc"}

// grpcSettings configure the API.
var grpcSettings = []setting{
	{
		flags: []string{"grpc_port"}, keys: under(grpcBlock, "port"), kind: count, value: "<port>",
		usage: "Port of the API for gRPC, gRPC-Web and HTTP with JSON; -1 picks a free one", def: "no API",
		state: added,
		set: func(o *Options, v, _ string) (err error) {
			o.API.Port, err = strconv.Atoi(v)
			return err
		},
	},
	{
		flags: []string{"grpc_host"}, keys: under(grpcBlock, "host"), value: "<host>",
		usage: "Listen address of the API", def: "that of NATS, -a", needs: apiPort,
		state: added,
		set:   setString(func(o *Options) *string { return &o.API.Host }),
	},
	{
		flags: []string{"grpc_token"}, keys: under(grpcBlock, "token"), value: "<token>",
		usage: "Token that API requests must send, as Authorization: Bearer <token>", secret: true, needs: apiPort,
		state: added, live: true,
		set: func(o *Options, v, _ string) error {
			o.API.Token = v
			switch {
			case v == "":
				return errEmpty
			case strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }):
				return errors.New("a header cannot carry the token: write letters, digits and punctuation, without spaces")
			}
			return nil
		},
	},
	{
		flags: []string{"grpc_cert"}, keys: under(grpcBlock, "cert"), value: "<file>",
		usage: "TLS certificate of the API; enables TLS on all its connections", needs: apiPort,
		state: added, live: true,
		set: setString(func(o *Options) *string { return &o.API.CertFile }),
	},
	{
		flags: []string{"grpc_key"}, keys: under(grpcBlock, "key"), value: "<file>",
		usage: "Private key of that certificate", needs: apiPort,
		state: added, live: true,
		set: setString(func(o *Options) *string { return &o.API.KeyFile }),
	},
	{
		flags: []string{"grpc_client_ca"}, keys: under(grpcBlock, "client_ca"), value: "<file>",
		usage: "Certificate authority that must have signed the certificates of API clients", needs: apiPort,
		state: added, live: true,
		set: setString(func(o *Options) *string { return &o.API.ClientCAFile }),
	},
	{
		flags: []string{"grpc_insecure"}, keys: under(grpcBlock, "insecure"), kind: toggle,
		usage: "Let other machines reach the API without TLS or authentication", needs: apiPort,
		state: added, live: true,
		set: setBool(func(o *Options) *bool { return &o.API.Insecure }),
	},
	{
		flags: []string{"grpc_origins"}, keys: under(grpcBlock, "origins"), kind: list, value: "<origin,...>",
		usage: "Origins of web pages that may call the API, such as https://shop.example; * allows any", def: "none", needs: apiPort,
		state: added, live: true,
		set: func(o *Options, v, _ string) error {
			o.API.Origins = splitList(v)
			return nil
		},
	},
	{
		flags: []string{"grpc_default_channel"}, keys: under(grpcBlock, "default_channel"), value: "<channel>",
		usage: "Event channel for eventstore.EventStore and pb.EventStore, unless a request names another, and for umadb.v1.DCB", def: "eventstore.events", needs: apiPort,
		state: added, live: true,
		set: setString(func(o *Options) *string { return &o.API.DefaultChannel }),
	},
	{
		flags: []string{"grpc_dcb"}, keys: under(grpcBlock, "dcb"), kind: toggle,
		usage: "Serve umadb.v1.DCB, a published interface of dynamic consistency boundaries, on the default channel", needs: apiPort,
		state: added, live: true,
		set: setBool(func(o *Options) *bool { return &o.API.DCB }),
	},
	{
		flags: []string{"grpc_standby_reads"}, keys: under(grpcBlock, "standby_reads"), kind: toggle,
		usage: "Serve reads while this server is a standby, each answer with its staleness", needs: apiPort,
		state: added,
		set:   setBool(func(o *Options) *bool { return &o.API.StandbyReads }),
	},
	{
		flags: []string{"console"}, keys: []string{"console"}, kind: toggle,
		usage: "Serve pages for operators, under /console/ on the API's port", def: "true if the API listens on this machine only", needs: apiPort,
		state: added,
		set: func(o *Options, v, _ string) error {
			on, err := strconv.ParseBool(v)
			o.Console = &on
			return err
		},
	},
	{
		flags: []string{"console_servers"}, keys: []string{"console_servers"}, kind: list, value: "<url,...>",
		usage: "URLs of the APIs of all servers of the database, which the console links, so that people find the one that leads", def: "none", needs: apiPort,
		state: added,
		set: func(o *Options, v, _ string) error {
			o.ConsoleServers = splitList(v)
			return nil
		},
	},
	{
		flags: []string{"console_sql_source"}, keys: []string{"console_sql_source"}, value: "<dsn>",
		usage: "Data source name, with a role that only reads, of the console's page for questions in SQL; SQLite needs none", secret: true, needs: apiPort,
		state: added,
		set:   setString(func(o *Options) *string { return &o.ConsoleSource }),
	},
	{
		flags: []string{"grpc_max_message"}, keys: under(grpcBlock, "max_message"), kind: size, value: "<bytes>",
		usage: "Maximum size of a request and of a non-streaming response", def: "4MB", needs: apiPort,
		state: added, live: true,
		set: func(o *Options, v, _ string) error {
			n, err := parseSize(v)
			o.API.MaxMessage = int(n)
			return err
		},
	},
	{
		flags: []string{"grpc_max_connections"}, keys: under(grpcBlock, "max_connections"), kind: count,
		usage: "Maximum number of connections to the API, and of open calls", def: "4096, at most half of the file descriptors", needs: apiPort,
		state: added, live: true,
		set: setCount(func(o *Options) *int { return &o.API.Limits.Total }),
	},
	{
		flags: []string{"grpc_max_connections_per_peer"}, keys: under(grpcBlock, "max_connections_per_peer"), kind: count,
		usage: "Maximum number of them for one client address", def: "1024", needs: apiPort,
		state: added, live: true,
		set: setCount(func(o *Options) *int { return &o.API.Limits.PerPeer }),
	},
}
