package natsconn

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// patience bounds every wait. A passing test never waits that long.
const patience = 90 * time.Second

// server starts an embedded server and connects to it.
func server(t *testing.T, embedded *natsd.Options) (*natsd.Server, *Conns) {
	t.Helper()
	return serverWith(t, embedded, &Login{})
}

func serverWith(t *testing.T, embedded *natsd.Options, login *Login) (*natsd.Server, *Conns) {
	t.Helper()
	embedded.Host, embedded.Port, embedded.NoLog = "127.0.0.1", -1, true
	o := Options{
		Embedded: embedded, Login: login, ClusterID: "C", DiscoverPrefix: "_STAN.discover", InboxPrefixes: []string{"_INBOX_shop"},
		Streams: map[string][]string{"ORDERS": {"ORDERS.>"}},
	}
	ns, err := StartServer(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	conns, err := Connect(o, ns, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conns.Close)
	return ns, conns
}

// may reports whether a connection may do something that NATS answers by an error if not.
func may(t *testing.T, nc *nats.Conn, try func() error) bool {
	t.Helper()
	violated := make(chan struct{}, 1)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			violated <- struct{}{}
		}
	})
	if err := try(); err != nil {
		t.Fatal(err)
	}
	// Two round trips: the error arrives before the second pong, and its handler runs in order with the barrier.
	for range 2 {
		if err := nc.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	if err := nc.Barrier(func() { close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
	return !errors.Is(nc.LastError(), nats.ErrPermissionViolation)
}

func TestOwnRights(t *testing.T) {
	t.Parallel()
	subjects := []string{
		"_INBOX.a", "_INBOX_shop.a", "_STAN.acks.a", "_STAN.discover.C", "_STAN.close.C", "_STAN.pub.C.orders", "ORDERS.a",
		"$JS.API.STREAM.INFO.ORDERS", "$JS.API.STREAM.DELETE.ORDERS", "$JS.API.STREAM.INFO.OTHER", "$SYS.REQ.SERVER.PING", "other",
	}
	inboxes := []string{"_INBOX.a", "_INBOX_shop.a", "_STAN.acks.a"}
	toClients := append([]string{"other"}, inboxes...) // of one token
	for kind, it := range map[string]struct {
		conn func(*Conns) *nats.Conn
		pub  []string
		sub  []string
	}{
		general:    {func(c *Conns) *nats.Conn { return c.General }, []string{"_STAN.discover.C", "_STAN.close.C"}, []string{"_INBOX.a", "_STAN.acks.a", "_STAN.discover.C", "_STAN.close.C", "_STAN.pub.C.orders"}},
		send:       {func(c *Conns) *nats.Conn { return c.Send }, toClients, nil},
		pubAcks:    {func(c *Conns) *nats.Conn { return c.PubAcks }, inboxes, nil},
		acks:       {func(c *Conns) *nats.Conn { return c.Acks }, nil, []string{"_INBOX.a"}},
		heartbeats: {func(c *Conns) *nats.Conn { return c.Heartbeats }, toClients, nil},
		relaying:   {func(c *Conns) *nats.Conn { return c.Relay }, []string{"ORDERS.a", "$JS.API.STREAM.INFO.ORDERS"}, []string{"_INBOX.a"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, subject := range subjects {
				// A connection remembers its last error, so each try has its own.
				_, conns := server(t, &natsd.Options{Username: "app", Password: "secret"})
				nc := it.conn(conns)
				if got, want := may(t, nc, func() error { return nc.Publish(subject, nil) }), slices.Contains(it.pub, subject); got != want {
					t.Errorf("publish to %s: %v, want %v", subject, got, want)
				}
				_, conns = server(t, &natsd.Options{Username: "app", Password: "secret"})
				nc = it.conn(conns)
				if got, want := may(t, nc, func() error { _, err := nc.SubscribeSync(subject); return err }), slices.Contains(it.sub, subject); got != want {
					t.Errorf("subscribe to %s: %v, want %v", subject, got, want)
				}
			}
		})
	}
}

// TestLogins shows that clients log in as before, though the server's own connections are users beside them.
func TestLogins(t *testing.T) {
	t.Parallel()
	for name, it := range map[string]struct {
		options natsd.Options
		login   nats.Option
		open    bool // everybody may
	}{
		"nobody":   {options: natsd.Options{}, open: true},
		"one user": {options: natsd.Options{Username: "app", Password: "secret"}, login: nats.UserInfo("app", "secret")},
		"token":    {options: natsd.Options{Authorization: "secret"}, login: nats.Token("secret")},
		"users":    {options: natsd.Options{Users: []*natsd.User{{Username: "app", Password: "secret"}}}, login: nats.UserInfo("app", "secret")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, conns := server(t, &it.options)
			if !conns.Connected() {
				t.Fatal("not connected")
			}
			nc, err := nats.Connect(ns.ClientURL())
			if (err == nil) != it.open {
				t.Errorf("without a login: %v", err)
			}
			if err == nil {
				nc.Close()
			}
			if it.login == nil {
				return
			}
			if nc, err = nats.Connect(ns.ClientURL(), it.login); err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if nc, err := nats.Connect(ns.ClientURL(), nats.UserInfo("_NSS-C-send", "")); err == nil {
				nc.Close()
				t.Error("somebody logged in as the server")
			}
		})
	}
}

// TestNoNonce shows that clients that cannot sign are not asked to.
func TestNoNonce(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*natsd.Options{"nobody": {}, "user": {Username: "app", Password: "secret"}} {
		if ns, _ := server(t, o); ns.NonceRequired() {
			t.Errorf("%s: the server sends a nonce, though no nkeys are configured", name)
		}
	}
}
