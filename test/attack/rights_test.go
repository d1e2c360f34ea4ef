package attack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

const rights = `principals: [
  { name: victim, nats_users: [victim], consume: ["victim.>", "shared"] }
  { name: mallory, nats_users: [mallory], consume: ["mallory.>", "shared"] }
]`

const denied = "stan: permissions violation"

// TestRightsOfUsers subscribes to channels that the user has no right to, in every way that a subscription has.
func TestRightsOfUsers(t *testing.T) {
	t.Parallel()
	s := embedded(t, "", "-wildcards", "-access_file", write(t, "access.conf", rights))
	victim := s.client("victim", "victim")
	s.publish(victim, "victim.a", "secret")
	_, in := s.deliveries(victim, "victim.a", stan.DeliverAllAvailable(), stan.DurableName("d"))
	s.next(in)
	mallory := s.as("mallory")
	own := mallory.Register("mallory")
	for name, opts := range map[string][]wire.Option{
		"plain": nil, "all": {wire.All}, "durable": {wire.Durable("d")}, "queue": {wire.Queue("q")}, "durable queue": {wire.Queue("q"), wire.Durable("d")},
	} {
		for _, channel := range []string{"victim.a", "victim.new", "eventstore.a", "victim.*", "eventstore.>", "*.a", "*", ">"} {
			if _, got := own.TrySub(channel, opts...); !strings.HasPrefix(got, denied) {
				t.Errorf("%s subscription to %s: %q", name, channel, got)
			}
		}
	}
	// Neither an inbox that the victim listens to, nor one that it answers heartbeats on, lends its right.
	hb, err := s.as("victim").SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.as("victim").Flush(); err != nil {
		t.Fatal(err)
	}
	if got := mallory.Connect(connectRequest("ghost", hb.Subject)).Error; got != "" {
		t.Fatal(got)
	}
	ghost := own.NewRequest("victim.a", wire.All)
	ghost.ClientID = "ghost"
	if got := mallory.Subscribe(ghost).Error; !strings.HasPrefix(got, denied) {
		t.Errorf("subscription of a client whose heartbeats the victim answers: %q", got)
	}
	lent := own.NewRequest("mallory.a", wire.All)
	lent.Inbox = hb.Subject
	if got := mallory.Subscribe(lent).Error; !strings.HasPrefix(got, denied) {
		t.Errorf("subscription that sends to the victim what it has no right to: %q", got)
	}
	// Somebody who listens to all inboxes listens to none of its own.
	everything := s.as("mallory")
	wide, err := everything.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := everything.Flush(); err != nil {
		t.Fatal(err)
	}
	spy := own.NewRequest("victim.a", wire.All)
	if err := mallory.PublishRequest(wire.Subscribe, hb.Subject, encode(spy)); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := wide.NextMsg(wire.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != hb.Subject || len(m.Data) == 0 {
			continue // something else, or a heartbeat
		}
		var resp pb.SubscriptionResponse
		if err := resp.Unmarshal(m.Data); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(resp.Error, denied) {
			t.Errorf("subscription that the victim seems to await: %q", resp.Error)
		}
		break
	}
	// NATS shows the key that a client names, though it checks no key where none is configured.
	forger := s.as("mallory", wire.Claim(`"nkey":"victim"`))
	if _, got := forger.Register("forger").TrySub("victim.a", wire.All); !strings.HasPrefix(got, denied) {
		t.Errorf("subscription of somebody who claims to be the victim: %q", got)
	}
	// What users have the right to works, and channels that were refused were not created.
	own.Sub("mallory.a")
	own.Sub("shared", wire.Queue("q"))
	if _, got := own.TrySub("mallory.*"); !strings.HasPrefix(got, "stan: invalid subject: no event channel") {
		t.Errorf("subscription to a pattern of its own channels: %q", got)
	}
	if got := len(s.channels()); got != 3 { // victim.a, mallory.a, shared
		t.Errorf("channels: %v", s.channels())
	}
}

// TestRightsAreTakenAway changes the access file under running subscriptions, and while the server is away.
func TestRightsAreTakenAway(t *testing.T) {
	t.Parallel()
	file := write(t, "access.conf", rights)
	s := embedded(t, "", "-access_file", file)
	victim, mallory := s.client("victim", "victim"), s.client("mallory", "mallory")
	_, kept := s.deliveries(victim, "shared")
	_, lost := s.deliveries(mallory, "shared")
	s.publish(victim, "victim.a", "x") // the victim may publish there only
	admin := s.client("admin", "admin")
	s.publish(admin, "shared", "one")
	s.next(kept)
	s.next(lost)
	less := strings.Replace(rights, `consume: ["mallory.>", "shared"]`, `consume: ["mallory.>"]`, 1)
	if err := os.WriteFile(file, []byte(less), 0o600); err != nil {
		t.Fatal(err)
	}
	s.server.Process.Signal(syscall.SIGHUP)
	s.server.WaitLog(t, "Closed a subscription")
	s.publish(admin, "shared", "two")
	s.next(kept)
	if _, err := mallory.Subscribe("shared", func(*stan.Msg) {}); err == nil || !strings.HasPrefix(err.Error(), denied) {
		t.Errorf("subscribe without the right: %v", err)
	}
	_, own := s.deliveries(mallory, "mallory.a", stan.DurableName("d"))
	s.server.Kill()
	if err := os.WriteFile(file, []byte(strings.Replace(less, `"mallory.>"`, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.server.Restart()
	s.server.WaitLog(t, "Closed a subscription client=mallory channel=mallory.a")              // as soon as mallory is back
	for channel, client := range map[string]stan.Conn{"mallory.a": mallory, "shared": admin} { // each comes back in its own time
		for deadline := time.Now().Add(wire.Patience); client.Publish(channel, []byte("three")) != nil; {
			if time.Now().After(deadline) {
				t.Fatalf("the publisher to %s did not come back", channel)
			}
		}
	}
	if m := s.next(kept); string(m.Data) != "three" {
		t.Errorf("got %q", m.Data)
	}
	select {
	case m := <-lost:
		t.Errorf("received %q without the right", m.Data)
	case m := <-own:
		t.Errorf("received %q without the right", m.Data)
	default:
	}
}

// TestRightsThatCannotBeChecked stops the start.
func TestRightsThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	file := write(t, "access.conf", rights)
	callout := write(t, "callout.conf", `
accounts { AUTH { users: [ { user: auth, password: secret } ] }, APP { users: [ { user: victim, password: secret }, { user: mallory, password: secret } ] } }
authorization { auth_callout { issuer: ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA, auth_users: [auth], account: AUTH } }
streaming { account: APP }`)
	for args, want := range map[string]string{
		"-ns nats://127.0.0.1:1": "an external NATS server does not tell who its users are",
		"-c " + callout:          "with auth_callout, the NATS server does not tell who its users are",
		"":                       `the NATS server has no user "mallory": add it to its configuration`,
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			out := refusedStart(t, append(strings.Fields(args), "-store", "MEMORY", "-access_file", file)...)
			if !strings.Contains(out, want) {
				t.Errorf("got %s", fmt.Sprintf("%q", out))
			}
		})
	}
}

// TestReloadWhileAway reloads the access file while a client is not connected to NATS: its subscription waits for it.
func TestReloadWhileAway(t *testing.T) {
	t.Parallel()
	s := embedded(t, "", "-access_file", write(t, "access.conf", rights))
	way := &drawbridge{}
	mallory := s.as("mallory", nats.SetCustomDialer(way))
	sub := mallory.Register("mallory").Sub("shared")
	victim := s.client("victim", "victim")
	way.raise()
	probe := s.as("mallory")
	for {
		_, err := probe.Request(sub.Client.HB, nil, wire.Patience)
		if errors.Is(err, nats.ErrNoResponders) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.server.Process.Signal(syscall.SIGHUP)
	s.server.WaitLog(t, "Reloaded")
	_, in := s.deliveries(victim, "shared")
	s.publish(s.client("admin", "admin"), "shared", "one")
	s.next(in)
	way.lower()
	// It may have been sent before a slow server had found out that the client is away: then it is sent again.
	if m := sub.Next(); m.Sequence != 1 {
		t.Errorf("received %d, want 1", m.Sequence)
	}
}

// drawbridge dials connections that it can cut, and then no more until it is lowered.
type drawbridge struct {
	mu     sync.Mutex // guards what follows
	raised bool
	conns  []net.Conn
}

// Dial implements nats.CustomDialer.
func (d *drawbridge) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.raised {
		return nil, errors.New("the bridge is up")
	}
	conn, err := net.Dial(network, address)
	if err == nil {
		d.conns = append(d.conns, conn)
	}
	return conn, err
}

func (d *drawbridge) raise() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raised = true
	for _, conn := range d.conns {
		_ = conn.Close() // an error: it was closed before
	}
}

func (d *drawbridge) lower() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raised = false
}
