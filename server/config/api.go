package config

import (
	"crypto/tls"
	"net"
	"net/url"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// APIOptions returns the options of the API. It listens where NATS does unless they say otherwise.
func (o *Options) APIOptions() api.Options {
	a := o.API
	if a.Host == "" {
		a.Host = o.NATS.Host
	}
	return a
}

// ServesConsole reports whether the API's port serves the console.
func (o *Options) ServesConsole() bool {
	if o.API.Port == 0 {
		return false
	}
	if o.Console != nil {
		return *o.Console
	}
	return loopback(o.APIOptions().Host)
}

// APITLS returns the TLS configuration of the API, from its files; nil without TLS or without an API.
func (o *Options) APITLS() (*tls.Config, error) {
	if o.API.Port == 0 {
		return nil, nil
	}
	return o.API.TLS(o.Access != nil)
}

// CheckAPI returns an error if the API's certificates cannot be loaded.
func (o *Options) CheckAPI() error {
	if _, err := o.APITLS(); err != nil {
		return &OptionError{"grpc_cert", err}
	}
	return nil
}

// validateAPI validates the options of the API.
func (o *Options) validateAPI(events eventlog.Events) error {
	if o.API.Port == 0 {
		return nil
	}
	if err := o.validateListener(); err != nil {
		return err
	}
	for _, s := range o.ConsoleServers {
		if s == "*" || !validOrigin(s) || !strings.HasPrefix(s, "http") {
			return invalid("console_servers", "console_servers: %q is not the URL of an API: write one such as https://a.example:4280, without a path", s)
		}
	}
	if o.ConsoleSource != "" && o.Store.Driver == "sqlite" {
		return invalid("console_sql_source", "console_sql_source: SQLite has no roles, and the console's questions open its file so that they cannot write: leave it out")
	}
	switch block := events.Of(o.API.DefaultChannel); {
	case o.API.DefaultChannel == api.DefaultChannel: // nobody asked for it; where it holds no events, requests that need it fail
	case !eventlog.ValidChannel(o.API.DefaultChannel) || block == nil:
		return invalid("grpc_default_channel", "grpc default channel %q is not an event channel: name one, or add it to the channels of a block events", o.API.DefaultChannel)
	case block.Mapping != nil:
		return invalid("grpc_default_channel", "grpc default channel %q: its messages are not eventstore.v1.Event: name a channel of another block events", o.API.DefaultChannel)
	}
	if o.API.Insecure {
		return nil
	}
	if o.authenticates() && !o.apiAuthenticates() {
		return invalid("grpc_port", "NATS authenticates its clients, but the API does not: set grpc_token, grpc_client_ca or access_file, or accept that with grpc_insecure")
	}
	if lacks := o.APILacks(); lacks != "" {
		return invalid("grpc_port", "the API listens on %s without %s: set grpc_cert and grpc_key, and grpc_token, grpc_client_ca or access_file; or listen on this machine only, with grpc_host 127.0.0.1; or accept that with grpc_insecure",
			shown(o.APIOptions().Host), lacks)
	}
	return nil
}

// validateListener validates what the API does whatever events there are.
func (o *Options) validateListener() error {
	a := &o.API
	switch {
	case a.Port < -1 || a.Port > 65535:
		return invalid("grpc_port", "grpc_port %d must be between 1 and 65535, or -1 for a free port", a.Port)
	case a.CertFile != "" && a.KeyFile == "":
		return invalid("grpc_cert", "set grpc_cert and grpc_key together")
	case a.CertFile == "" && a.KeyFile != "":
		return invalid("grpc_key", "set grpc_cert and grpc_key together")
	case a.ClientCAFile != "" && a.CertFile == "":
		return invalid("grpc_client_ca", "grpc_client_ca needs grpc_cert and grpc_key")
	case a.MaxMessage <= 0:
		return invalid("grpc_max_message", "grpc_max_message must be positive")
	case a.Limits.Total <= 0:
		return invalid("grpc_max_connections", "grpc_max_connections must be positive")
	case a.Limits.PerPeer <= 0:
		return invalid("grpc_max_connections_per_peer", "grpc_max_connections_per_peer must be positive")
	}
	for _, origin := range a.Origins {
		if !validOrigin(origin) {
			return invalid("grpc_origins", "grpc_origins: %q is not an origin: use one such as https://shop.example:8443, or *", origin)
		}
	}
	return nil
}

// validOrigin reports whether s is "*" or an origin as browsers send it.
func validOrigin(s string) bool {
	u, err := url.Parse(s)
	return s == "*" || err == nil && s == u.Scheme+"://"+u.Host && u.Hostname() != "" && !strings.Contains(s, "*")
}

// APILacks says what the API lacks where others can reach it: "TLS", "authentication" or both; "" if nothing.
func (o *Options) APILacks() string {
	a := o.APIOptions()
	if loopback(a.Host) {
		return ""
	}
	var lacks []string
	if a.CertFile == "" {
		lacks = append(lacks, "TLS")
	}
	if !o.apiAuthenticates() {
		lacks = append(lacks, "authentication")
	}
	return strings.Join(lacks, " and ")
}

// apiAuthenticates reports whether clients of the API must say who they are.
func (o *Options) apiAuthenticates() bool {
	return o.API.Token != "" || o.API.ClientCAFile != "" || o.AccessFile != ""
}

// authenticates reports whether NATS asks its clients who they are, as far as the options tell.
func (o *Options) authenticates() bool {
	n, l := o.NATS, &o.Login
	if o.NATSURL != "" {
		return n.Username != "" || n.Authorization != "" || l.User != "" || l.Token != "" || l.CredentialsFile != "" || l.NKeySeedFile != "" ||
			l.TLS.CertFile != "" || strings.Contains(o.NATSURL, "@")
	}
	return len(n.Users)+len(n.Nkeys)+len(n.TrustedOperators)+len(n.TrustedKeys) > 0 || n.Username != "" || n.Authorization != "" ||
		n.AuthCallout != nil || n.TLSVerify
}

// loopback reports whether only this machine reaches a listen address.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func shown(host string) string {
	if host == "" {
		return "all addresses"
	}
	return host
}
