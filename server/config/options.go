// Package config holds the options of a server and checks them. Flags and files are read by the command.
package config

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Version of this server, printed by -version and in the log.
const Version = "0.1.0"

// Options configure a server. DefaultOptions fills every field that has a default.
type Options struct {
	// ClusterID names this NATS Streaming service to its clients. It is stored in the
	// database, which refuses another one later.
	ClusterID string
	// DiscoverPrefix is the subject prefix of connect requests; the cluster ID follows it.
	DiscoverPrefix string

	// NATS configures the embedded NATS server, its monitoring port and the log.
	NATS *natsd.Options
	// NATSURL, if not empty, lists external NATS servers (comma separated) that are used
	// in place of the embedded one.
	NATSURL string
	// Login is how the server's own connections log in to NATS.
	Login natsconn.Login

	// Store says where messages, clients and subscriptions are kept.
	Store stores.Options
	// Events declare the event channels; the first block that matches a channel counts.
	Events []eventlog.EventBlock
	// Versions come before those of Events.
	Versions []eventlog.ChannelVersions

	// Routes send events on to other channels and to streams.
	Routes []Route

	// Limits bound channels; by default nothing is limited.
	Limits eventlog.Limits
	// ReplaceDurables lets a subscription request take over a durable that is active, which is an error otherwise.
	ReplaceDurables bool
	// FTGroup, if not empty, says that the server is one of several on its database. They need no name to find each
	// other; all that it changes is the state that monitoring reports.
	FTGroup string

	// API says how gRPC and HTTP clients are served.
	API api.Options

	// HeartbeatInterval is the time between two heartbeats to a client, HeartbeatTimeout how
	// long one waits for its reply, and HeartbeatFailures how many may fail in a row; the
	// next failure closes the client.
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration
	HeartbeatFailures int

	// StoreTimeout bounds how long a request, or a published batch, waits for an unavailable database
	// before its client gets an error.
	StoreTimeout time.Duration
	// MaxBatchMsgs and MaxBatchBytes bound one commit.
	MaxBatchMsgs  int
	MaxBatchBytes int
	// TailBytes bounds the last messages of all channels that are kept in memory for live subscribers.
	TailBytes int64
	// ReadAheadBytes bounds the stored messages that are read ahead of all subscribers; a subscriber that gets no
	// part of it is sent what is read at once, in smaller batches.
	ReadAheadBytes int64
	// PublishMemory bounds the messages in memory that were not answered yet, of all doors together, in bytes as they came.
	// Requests of the API wait for room; more messages from NATS wait in files of PublishDir, by default the system's
	// directory for temporary files.
	PublishMemory int64
	PublishDir    string
	// ProgressInterval is how late at most the state of subscriptions is written.
	ProgressInterval time.Duration

	// MaxInflight bounds the messages that one subscription holds unacknowledged. A client that asks for more gets this many.
	MaxInflight int

	// Notices are lines for the log about settings that have no effect any more.
	Notices []string
	// Debug and Trace enable the log levels of the streaming part alone; those of the
	// embedded NATS server are in NATS.
	Debug bool
	Trace bool
	// SyslogName is the name of the event source in the Windows event log.
	SyslogName string

	// A signal on Reopen opens the log file again, one on Reload applies the configuration of the embedded NATS
	// server again, as Reread returns it. Nil channels never do.
	Reopen, Reload <-chan os.Signal
	Reread         func() (Options, error)
}

// DefaultEventChannels is the pattern of the channels that are event channels unless the options name others.
const DefaultEventChannels = "eventstore.>"

// DefaultOptions returns the options of a server that was given no flags, but for Store.
func DefaultOptions() Options {
	return Options{
		ClusterID:         "test-cluster",
		DiscoverPrefix:    "_STAN.discover",
		NATS:              &natsd.Options{},
		Events:            []eventlog.EventBlock{{Channels: []string{DefaultEventChannels}}},
		API:               api.DefaultOptions(),
		HeartbeatInterval: 30 * time.Second,
		HeartbeatTimeout:  10 * time.Second,
		HeartbeatFailures: 10,
		StoreTimeout:      5 * time.Second,
		MaxBatchMsgs:      4096,
		MaxBatchBytes:     8 << 20,
		TailBytes:         64 << 20,
		ReadAheadBytes:    64 << 20,
		PublishMemory:     64 << 20,
		ProgressInterval:  100 * time.Millisecond,
		MaxInflight:       consumers.DefaultMaxInflight,
	}
}

// validClusterID is the reference server's rule: the ID becomes a token of subjects.
var validClusterID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// Validate says what is wrong with the options, naming the option.
func (o *Options) Validate() error {
	if !validClusterID.MatchString(o.ClusterID) {
		return fmt.Errorf("cluster ID %q: only alphanumeric and `-` or `_` characters allowed", o.ClusterID)
	}
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		return err
	}
	if err := o.Limits.Validate(events); err != nil {
		return err
	}
	if err := validateRoutes(o.Routes, events); err != nil {
		return err
	}
	if o.NATS == nil {
		return errors.New("options of the NATS server are missing")
	}
	if err := o.validateStreams(); err != nil {
		return err
	}
	if err := o.validateAPI(events); err != nil {
		return err
	}
	if err := o.Store.Validate(); err != nil {
		return err
	}
	switch {
	case o.HeartbeatInterval <= 0 || o.HeartbeatTimeout <= 0:
		return errors.New("heartbeat interval and timeout must be positive")
	case o.HeartbeatFailures < 0:
		return errors.New("heartbeat failure count must not be negative")
	case o.StoreTimeout <= 0 || o.ProgressInterval <= 0:
		return errors.New("store timeout and progress interval must be positive")
	case o.PublishMemory <= 0:
		return errors.New("the memory for published messages must be positive")
	case o.MaxBatchMsgs <= 0 || o.MaxBatchBytes <= 0:
		return errors.New("batch bounds must be positive")
	case o.MaxInflight <= 0:
		return errors.New("max_inflight must be positive")
	case o.TailBytes < 0 || o.ReadAheadBytes < 0:
		return errors.New("bytes of the tail and of read-ahead must not be negative")
	}
	return nil
}

// NATSOptions say where NATS is.
func (o *Options) NATSOptions() natsconn.Options {
	return natsconn.Options{Embedded: o.NATS, URL: o.NATSURL, Login: &o.Login, ClusterID: o.ClusterID}
}

// validateStreams says whether there is a JetStream for the routes. One of a cluster, or beyond a leaf node or a gateway, is
// only found while serving.
func (o *Options) validateStreams() error {
	alone := o.NATSURL == "" && o.NATS.Cluster.Port == 0 && o.NATS.Gateway.Name == "" && len(o.NATS.LeafNode.Remotes) == 0
	if !alone || o.NATS.JetStream {
		return nil
	}
	for i := range o.Routes {
		if r := &o.Routes[i]; r.Stream != "" {
			return fmt.Errorf("%s: routes: stream %q needs JetStream: start with -js, or with a jetstream block in the configuration of NATS", r.At, r.Stream)
		}
	}
	return nil
}

// validateAPI says what is wrong with the options of the API.
func (o *Options) validateAPI(events eventlog.Events) error {
	if o.API.Port == 0 {
		return nil
	}
	if err := o.API.Validate(); err != nil {
		return err
	}
	switch block := events.Of(o.API.DefaultChannel); {
	case !eventlog.ValidChannel(o.API.DefaultChannel) || block == nil:
		return fmt.Errorf("grpc default channel %q is not an event channel", o.API.DefaultChannel)
	case block.Mapping != nil:
		return fmt.Errorf("grpc default channel %q: its messages are not eventstore.v1.Event", o.API.DefaultChannel)
	}
	n := o.NATS
	asks := len(n.Users)+len(n.Nkeys)+len(n.TrustedOperators)+len(n.TrustedKeys) > 0 || n.Username != "" || n.Authorization != "" ||
		n.AuthCallout != nil || n.TLSVerify
	if o.NATSURL == "" && asks && o.API.Token == "" && o.API.ClientCAFile == "" {
		return errors.New("the NATS server asks its clients who they are, the gRPC API would not: set grpc_token or grpc_client_ca")
	}
	return nil
}
