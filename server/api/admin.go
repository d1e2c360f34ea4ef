package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Administration is what administrators may do with the consumers and clients of the server that leads. Its acts do what
// consumers.Consumers documents.
type Administration interface {
	List() []consumers.Description
	Describe(name stores.ConsumerName) (consumers.Description, error)
	// LagSeconds returns the age of the first message of a consumer's backlog, as the metrics have it.
	LagSeconds(d consumers.Description) float64
	// Line returns what consumers of a channel or pattern read, or nil if it is neither a channel nor has consumers.
	Line(name string) consumers.Line

	Configure(ctx context.Context, by consumers.Actor, name stores.ConsumerName, action string, change func(*consumers.Settings) error) error
	SetPosition(ctx context.Context, by consumers.Actor, name stores.ConsumerName, next uint64) error
	Skip(ctx context.Context, by consumers.Actor, name stores.ConsumerName, seq uint64, reason string) error
	Drop(ctx context.Context, by consumers.Actor, name stores.ConsumerName, force bool) error

	Parked(ctx context.Context, name stores.ConsumerName, after uint64, limit int) ([]stores.ParkedMessage, error)
	Replay(ctx context.Context, by consumers.Actor, name stores.ConsumerName, sequences []uint64) (int, error)
	Discard(ctx context.Context, by consumers.Actor, name stores.ConsumerName, sequences []uint64, reason string) (int, error)
	CancelDelivery(ctx context.Context, by consumers.Actor, ch *stores.Channel, seq uint64, eventID string) error

	// Clients returns the registered clients of NATS Streaming, sorted by ID.
	Clients() []Client
	// Kick closes a client, or returns ErrUnknownClient.
	Kick(ctx context.Context, by consumers.Actor, id, reason string) error
	// Audit records an act of which nothing else is stored.
	Audit(ctx context.Context, by consumers.Actor, action, target, detail string) error
	// Audited returns acts with lower IDs than before, the newest first; 0 is beyond all.
	Audited(ctx context.Context, before uint64, limit int) ([]stores.AuditEntry, error)
	// Erase erases events, and returns once nobody can read them from the log.
	Erase(ctx context.Context, by consumers.Actor, events eventlog.ErasedEvents, reason string, dryRun bool) (eventlog.ErasureReport, error)
	// Erasures returns erasures with lower IDs than before, the newest first; 0 is beyond all.
	Erasures(ctx context.Context, before uint64, limit int) ([]stores.Erasure, error)
	// Keys are those of encrypted fields; nil if there are none.
	Keys() Keys
	// Patience is how long an act may wait for the database.
	Patience() time.Duration
}

// Client is a client of NATS Streaming.
type Client struct {
	ID            string
	Subscriptions int
	Healthy       bool
}

var (
	// ErrUnknownClient means that no client of NATS Streaming has the ID.
	ErrUnknownClient = errors.New("unknown client")
	// errPatience means that the database did not answer in time. The act may still take effect.
	errPatience = errors.New("the database did not answer in time: the act may still take effect, so look before you repeat it")
)

// admin answers the requests of administrators.
type admin struct{ *service }

// everywhere is the pattern of all channels.
const everywhere = ">"

// administration returns what the caller of a request may administer, if that is all channels that match a pattern, and who it is.
func (a admin) administration(ctx context.Context, pattern string) (administered, error) {
	log, err := a.leading(ctx)
	if err != nil {
		return administered{}, err
	}
	by, err := log.caller.actor()
	if err != nil {
		return administered{}, err
	}
	g := administered{log.log.Administration(), log, by}
	return g, g.permit(pattern)
}

// administered is the administration as one caller may use it.
type administered struct {
	Administration
	log guarded
	by  consumers.Actor
}

// permit returns an error unless the caller may administer all channels that match a pattern.
func (g administered) permit(pattern string) error {
	p := g.log.caller.principal()
	switch {
	case p == nil:
		return errNoCaller
	case !p.MayAll(access.Admin, pattern):
		return fmt.Errorf("%w: principal %q has no right %q on %s; the server's access file grants rights", ErrDenied, p.Name, access.Admin, described(pattern))
	}
	return nil
}

func described(pattern string) string {
	switch {
	case pattern == everywhere:
		return "all channels"
	case eventlog.ValidChannel(pattern):
		return fmt.Sprintf("channel %q", pattern)
	}
	return fmt.Sprintf("all channels that match %q", pattern)
}

// act calls f, which waits for the database, with a bound on the wait.
func (g administered) act(ctx context.Context, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, g.Patience())
	defer cancel()
	err := f(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return connect.NewError(connect.CodeUnavailable, fmt.Errorf("%w (%w)", errPatience, err))
	}
	return status(err)
}

// named is a request about a consumer.
type named interface {
	GetChannel() string
	GetClient() string
	GetName() string
}

// consumer returns the administration of the consumer that a request names.
func (a admin) consumer(ctx context.Context, req named) (administered, stores.ConsumerName, error) {
	name := stores.ConsumerName{Line: req.GetChannel(), Client: req.GetClient(), Name: req.GetName()}
	switch {
	case name.Line == "":
		return administered{}, name, invalid("channel is missing: name the channel, or the pattern, of the consumer")
	case !eventlog.ValidPattern(name.Line):
		return administered{}, name, invalid("channel %q is not a channel or a pattern", name.Line)
	case name.Name == "":
		return administered{}, name, invalid("name is missing: send the durable's, with its client, or the queue group's, such as durable:group")
	}
	g, err := a.administration(ctx, name.Line)
	return g, name, status(err)
}

// actor returns who administers. Without authentication, only this machine may: no option opens administration to the network.
func (c *caller) actor() (consumers.Actor, error) {
	p, now := c.principal(), c.door.settings.Load()
	by := consumers.Actor{Address: host(c.address)}
	switch {
	case p == nil:
		return by, errNoCaller
	case p != everybody:
		by.Principal = p.Name
	case now.Token != "" && c.hasToken:
		by.Principal = "grpc_token"
	case c.certificate != nil:
		by.Principal = c.certificate.Subject.String()
	case !c.local():
		return by, fmt.Errorf("%w: administration from other machines needs a token or a client certificate: set grpc_token, grpc_client_ca or access_file", ErrDenied)
	}
	return by, nil
}

// appender returns who appends. Who needs no credentials has no name.
func (c *caller) appender() stores.Appender {
	by, _ := c.actor() // its error is about administration
	return stores.Appender{Principal: by.Principal, Address: by.Address}
}

// local reports whether a request comes from this machine, and to a name of it. A web page can send requests to the machine that
// shows it, but only to names of its own.
func (c *caller) local() bool { return isLoopback(c.address) && isLoopback(c.host) }

// isLoopback reports whether an address, with or without a port, is one of this machine alone.
func isLoopback(address string) bool {
	name := strings.Trim(host(address), "[]")
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}
