package main

import "strconv"

var grpcBlock = []string{"grpc"}

// grpcSettings say how the API is served.
var grpcSettings = []setting{
	{
		flags: []string{"grpc_port"}, keys: under(grpcBlock, "port"), kind: count, value: "<port>",
		usage: "Serve the API by gRPC, gRPC-Web and HTTP with JSON on this port, -1: a free one (default: not served)",
		state: added,
		set: func(o *options, v, _ string) (err error) {
			o.API.Port, err = strconv.Atoi(v)
			return err
		},
	},
	{
		flags: []string{"grpc_host"}, keys: under(grpcBlock, "host"), value: "<host>",
		usage: "Address that the API listens on (default: all)",
		state: added,
		set:   setString(func(o *options) *string { return &o.API.Host }),
	},
	{
		flags: []string{"grpc_token"}, keys: under(grpcBlock, "token"), value: "<token>",
		usage: "Token that requests to the API must carry, as Authorization: Bearer <token>",
		state: added,
		set:   setString(func(o *options) *string { return &o.API.Token }),
	},
	{
		flags: []string{"grpc_cert"}, keys: under(grpcBlock, "cert"), value: "<file>",
		usage: "Certificate of the API; all connections use TLS then",
		state: added,
		set:   setString(func(o *options) *string { return &o.API.CertFile }),
	},
	{
		flags: []string{"grpc_key"}, keys: under(grpcBlock, "key"), value: "<file>",
		usage: "Key of the certificate",
		state: added,
		set:   setString(func(o *options) *string { return &o.API.KeyFile }),
	},
	{
		flags: []string{"grpc_client_ca"}, keys: under(grpcBlock, "client_ca"), value: "<file>",
		usage: "Certificate authority that the certificates of the API's clients must be of",
		state: added,
		set:   setString(func(o *options) *string { return &o.API.ClientCAFile }),
	},
	{
		flags: []string{"grpc_origins"}, keys: under(grpcBlock, "origins"), kind: list, value: "<origin,...>",
		usage: "Origins of web pages that may call the API, such as https://shop.example, *: any (default: none)",
		state: added,
		set: func(o *options, v, _ string) error {
			o.API.Origins = splitList(v)
			return nil
		},
	},
	{
		flags: []string{"grpc_default_channel"}, keys: under(grpcBlock, "default_channel"), value: "<channel>",
		usage: "Event channel of events that eventstore.EventStore and pb.EventStore give no channel (default eventstore.events)",
		state: added,
		set:   setString(func(o *options) *string { return &o.API.DefaultChannel }),
	},
	{
		flags: []string{"grpc_max_message"}, keys: under(grpcBlock, "max_message"), kind: size, value: "<bytes>",
		usage: "Largest request, and largest answer that is not a stream (default 4MB)",
		state: added,
		set: func(o *options, v, _ string) error {
			n, err := parseSize(v)
			o.API.MaxMessage = int(n)
			return err
		},
	},
}
