// Package config holds and validates the options of a server. The command reads flags and files.
package config

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/server/tracing"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// The types of stores, by their names in NATS Streaming.
const (
	StoreMemory = "MEMORY"
	StoreFile   = "FILE"
	StoreSQL    = "SQL"
)

// The formats of the log.
const (
	LogText = "text"
	LogJSON = "json" // a JSON object on each line
)

// Options configure a server. DefaultOptions fills every field that has a default.
type Options struct {
	// ClusterID names this NATS Streaming service to its clients. The database stores it and refuses any other.
	ClusterID string
	// DiscoverPrefix is the subject prefix of connect requests; the cluster ID follows it.
	DiscoverPrefix string
	// InboxPrefixes begin the subjects on which clients may await what the server sends, besides _INBOX.
	InboxPrefixes []string

	// NATS configures the embedded NATS server, its monitoring port and the log.
	NATS *natsd.Options
	// NATSURL, if set, lists external NATS servers, separated by commas. They replace the embedded server.
	NATSURL string
	// Login is how the server's own connections log in to NATS.
	Login natsconn.Login

	// StoreType is how the store was asked for: StoreMemory, StoreFile or StoreSQL. Logs and status pages name it.
	StoreType string
	// Store configures the database.
	Store stores.Options
	// Events declare the event channels. The first block that matches a channel counts.
	Events []eventlog.EventBlock
	// Versions override the versions that Events set.
	Versions []eventlog.ChannelVersions

	// Keys say where the keys of encrypted fields are. An empty driver is that of Store.
	Keys keys.Options

	// Routes forward events to other channels and to streams.
	Routes []Route

	// Consumers are settings of durables and queue groups. A later rule replaces the fields of an earlier one. A reload replaces the rules.
	Consumers []consumers.Rule
	// RedeliveryRate bounds the messages a second that are sent again more than once, over all consumers. 0 is unlimited.
	RedeliveryRate int

	// Limits bound channels. By default, nothing is limited.
	Limits eventlog.Limits
	// ReplaceDurables lets a subscription request take over an active durable. Otherwise such a request is an error.
	ReplaceDurables bool
	// Wildcards lets clients of NATS Streaming subscribe to patterns of event channels.
	Wildcards bool
	// RecordAppenders records who appended each message: principal, client ID and address, in the table Appenders.
	RecordAppenders bool
	// ChainKey signs heads of the chain of hashes; nil: they are not signed. It comes from ChainKeyFile.
	ChainKey     ed25519.PrivateKey
	ChainKeyFile string
	// ChainFile, if set, gets a line for each head.
	ChainFile string
	// ChainInterval is how often a head is made, if there is a new event.
	ChainInterval time.Duration
	// FTGroup, if set, declares that several servers share the database. It only changes the state that monitoring
	// reports; the servers find each other through the database.
	FTGroup string

	// Access says who may do what. It is the content of AccessFile; nil without one.
	Access     *access.Policy
	AccessFile string

	// API configures gRPC and HTTP.
	API api.Options

	// Console serves pages for operators on the API's port. nil: if the API listens on this machine alone.
	Console *bool
	// ConsoleServers are the URLs of the APIs of all servers of the database, such as https://a.example:4280.
	ConsoleServers []string
	// ConsoleSource is the data source of the console's questions in SQL, with a role that only reads. SQLite needs none.
	ConsoleSource string

	// A client gets a heartbeat each HeartbeatInterval and has HeartbeatTimeout to reply. HeartbeatFailures may fail in
	// a row; one more closes the client.
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration
	HeartbeatFailures int

	// StoreTimeout bounds how long a request or batch waits for an unavailable database before its client gets an
	// error.
	StoreTimeout time.Duration
	// MaxBatchMsgs and MaxBatchBytes bound a commit.
	MaxBatchMsgs  int
	MaxBatchBytes int
	// TailBytes bounds the recent messages kept in memory for live subscribers, over all channels.
	TailBytes int64
	// ReadAheadBytes bounds the messages read ahead for all subscribers. A subscriber that gets no share reads smaller
	// batches, without reading ahead.
	ReadAheadBytes int64
	// PublishMemory bounds the received bytes held in memory for requests without an answer, over all doors. Requests
	// of the API wait for room. Further messages from NATS go to files in PublishDir, by default the system's temporary
	// directory.
	PublishMemory int64
	PublishDir    string
	// ProgressInterval is the longest delay before the state of subscriptions is written.
	ProgressInterval time.Duration

	// MetricsSeries bounds the channels, the durables and queue groups, and the channels of each stream that have metrics
	// of their own; the metrics of the others are added up.
	MetricsSeries int

	// MaxInflight bounds the unacknowledged messages of a subscription. A client that asks for more gets this many.
	MaxInflight int

	// Notices are log lines about settings that no longer have an effect.
	Notices []string
	// Debug and Trace set the log level of the streaming part. NATS holds the level of the embedded server.
	Debug bool
	Trace bool
	// LogFormat is LogText or LogJSON.
	LogFormat string
	// SyslogName names the event source in the Windows event log.
	SyslogName string

	// Tracing says where traces go.
	Tracing tracing.Options

	// Applied are the settings that a reload does not change.
	Applied Applied
	// Shown are the settings that were given, as people may see them: values without secrets by name.
	Shown map[string]string
	// A signal on Reopen reopens the log file. A signal on Reload applies what Reread returns, as far as that can change
	// while the server runs. A nil channel never signals.
	Reopen, Reload <-chan os.Signal
	Reread         func() (Options, error)
	// LogTo, if set, receives the log, line by line, instead of the place that the options of NATS say.
	LogTo io.Writer
	// Started, if set, is called each time the server begins to serve or to stand by. An error is logged.
	Started func(Addresses) error
}

// Addresses are where a server listens. A port that it does not have is nil.
type Addresses struct{ NATS, API net.Addr }

// DefaultEventChannels is the default pattern of event channels.
const DefaultEventChannels = "eventstore.>"

// DefaultOptions returns the defaults of a server without flags, except for Store.
func DefaultOptions() Options {
	return Options{
		ClusterID:         "test-cluster",
		Applied:           make(Applied),
		Shown:             make(map[string]string),
		DiscoverPrefix:    "_STAN.discover",
		NATS:              &natsd.Options{},
		Events:            []eventlog.EventBlock{{Channels: []string{DefaultEventChannels}}},
		API:               api.DefaultOptions(),
		HeartbeatInterval: 30 * time.Second,
		HeartbeatTimeout:  10 * time.Second,
		HeartbeatFailures: 10,
		StoreTimeout:      5 * time.Second,
		ChainInterval:     time.Minute,
		MaxBatchMsgs:      4096,
		MaxBatchBytes:     8 << 20,
		TailBytes:         64 << 20,
		ReadAheadBytes:    64 << 20,
		PublishMemory:     64 << 20,
		ProgressInterval:  100 * time.Millisecond,
		MetricsSeries:     1000,
		LogFormat:         LogText,
		MaxInflight:       consumers.DefaultMaxInflight,
		RedeliveryRate:    consumers.DefaultRedeliveryRate,
	}
}

// validClusterID is NATS Streaming's rule: the ID becomes a token of subjects.
var validClusterID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// Validate reports all invalid options, those that it can name as OptionError.
func (o *Options) Validate() error {
	if o.NATS == nil {
		return errors.New("NATS server options are missing")
	}
	var errs []error
	if !validClusterID.MatchString(o.ClusterID) {
		errs = append(errs, invalid("cluster_id", "cluster ID %q: only alphanumeric and `-` or `_` characters allowed", o.ClusterID))
	}
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		errs = append(errs, err)
	} else { // these compare with event channels
		errs = append(errs, o.validateLimits(events), validateRoutes(o.Routes, events), o.validateInboxes(events), o.validateAPI(events), o.validateKeys(events))
	}
	errs = append(errs, o.validateConsumers(), o.validateLog(), o.validateStreams(), o.validateUsers(), o.Store.Validate())
	for _, it := range []struct {
		name  string
		valid bool
		want  string
	}{
		{"hb_interval", o.HeartbeatInterval > 0, "positive"},
		{"hb_timeout", o.HeartbeatTimeout > 0, "positive"},
		{"hb_fail_count", o.HeartbeatFailures >= 0, "0 or more"},
		{"store_timeout", o.StoreTimeout > 0, "positive"},
		{"progress interval", o.ProgressInterval > 0, "positive"},
		{"publish_memory", o.PublishMemory > 0, "positive"},
		{"batch bounds", o.MaxBatchMsgs > 0 && o.MaxBatchBytes > 0, "positive"},
		{"chain_interval", o.ChainInterval > 0, "positive"},
		{"max_inflight", o.MaxInflight > 0, "positive"},
		{"redelivery_rate", o.RedeliveryRate >= 0, "0 or more"},
		{"metrics_series", o.MetricsSeries >= 0, "0 or more"},
		{"tail_bytes", o.TailBytes >= 0, "0 or more"},
		{"read_ahead_bytes", o.ReadAheadBytes >= 0, "0 or more"},
	} {
		if !it.valid {
			errs = append(errs, invalid(it.name, "%s must be %s", it.name, it.want))
		}
	}
	return errors.Join(errs...)
}

// LimitsOf is the name of the limits of one channel in an OptionError.
func LimitsOf(channel string) string { return "limits of " + channel }

func (o *Options) validateLimits(events eventlog.Events) error {
	var errs []error
	for _, channel := range slices.Sorted(maps.Keys(o.Limits.PerChannel)) {
		if err := o.Limits.ValidateOf(channel, events); err != nil {
			errs = append(errs, &OptionError{LimitsOf(channel), err})
		}
	}
	return errors.Join(errs...)
}

// OptionError is an error of one option, by the name that the command line and the configuration file have for it.
type OptionError struct {
	Option string
	Err    error
}

func (e *OptionError) Error() string { return e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

func invalid(option, format string, args ...any) error {
	return &OptionError{option, fmt.Errorf(format, args...)}
}

// NATSOptions returns the options of the NATS connections.
func (o *Options) NATSOptions() natsconn.Options {
	return natsconn.Options{
		Embedded: o.NATS, URL: o.NATSURL, Login: &o.Login, ClusterID: o.ClusterID, DiscoverPrefix: o.DiscoverPrefix,
		InboxPrefixes: o.InboxPrefixes, Streams: streams(o.Routes),
	}
}

// validateInboxes checks that what begins with an inbox prefix is nothing but inboxes: the server publishes there what clients
// ask for.
func (o *Options) validateInboxes(events eventlog.Events) error {
	taken := append([]string{o.DiscoverPrefix + ".>", "_STAN.>", "_R_.>", "_GR_.>"}, events.Patterns()...)
	for _, subjects := range streams(o.Routes) {
		taken = append(taken, subjects...)
	}
	for _, p := range o.InboxPrefixes {
		if !natsd.IsValidLiteralSubject(p) || strings.HasPrefix(p, "$") {
			return invalid("inbox_prefixes", "inbox_prefixes: %q is not a prefix of inboxes: use one or more tokens without wildcards, such as _INBOX_shop", p)
		}
		for _, t := range taken {
			if natsd.SubjectsCollide(p+".>", t) || natsd.SubjectsCollide(p, t) {
				return invalid("inbox_prefixes", "inbox_prefixes: %q overlaps %q, which is not for inboxes", p, t)
			}
		}
	}
	return nil
}

// validateUsers checks that NATS can tell the users to whom the access file gives rights.
func (o *Options) validateUsers() error {
	n := o.NATS
	known := map[string]bool{n.Username: true}
	for _, u := range n.Users {
		known[u.Username] = true
	}
	for _, u := range n.Nkeys {
		known[u.Nkey] = true
	}
	operators := len(n.TrustedOperators)+len(n.TrustedKeys) > 0
	switch {
	case !o.Access.NamesUsers():
		return nil
	case o.NATSURL != "":
		return fmt.Errorf("%s: nats_users: an external NATS server does not tell who its users are: use permissions of NATS, or the embedded server", o.AccessFile)
	case n.AuthCallout != nil:
		return fmt.Errorf("%s: nats_users: with auth_callout, the NATS server does not tell who its users are: use permissions of NATS", o.AccessFile)
	case operators:
		return nil
	}
	var errs []error
	for _, user := range o.Access.Users() {
		if !known[user] {
			errs = append(errs, fmt.Errorf("%s: nats_users: the NATS server has no user %q: add it to its configuration, or take it out of this file", o.Access.PlaceOf(user), user))
		}
	}
	return errors.Join(errs...)
}

// validateLog checks that the log can be written in its format. NATS' logger alone rotates files.
func (o *Options) validateLog() error {
	switch {
	case o.LogFormat != LogText && o.LogFormat != LogJSON:
		return invalid("log_format", "log_format: %q must be text or json", o.LogFormat)
	case o.LogFormat == LogJSON && o.NATS.LogFile != "" && (o.NATS.LogSizeLimit > 0 || o.NATS.LogMaxFiles > 0):
		return invalid("log_format", "log_size_limit and logfile_max_num need log_format text: for JSON, rotate the file with logrotate and SIGUSR1")
	}
	return nil
}

// validateStreams checks that routes to streams have a JetStream. If it may be in a cluster, or beyond a leaf node or
// gateway, only serving can tell.
func (o *Options) validateStreams() error {
	alone := o.NATSURL == "" && o.NATS.Cluster.Port == 0 && o.NATS.Gateway.Name == "" && len(o.NATS.LeafNode.Remotes) == 0
	if !alone || o.NATS.JetStream {
		return nil
	}
	for i := range o.Routes {
		if r := &o.Routes[i]; r.Stream != "" {
			return fmt.Errorf("%s: routes: stream %q needs JetStream: start with -js, or add a jetstream block to the NATS configuration", r.At, r.Stream)
		}
	}
	return nil
}
