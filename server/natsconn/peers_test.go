package natsconn

import (
	"fmt"
	"sync"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

func TestListening(t *testing.T) {
	t.Parallel()
	ns, conns := server(t, &natsd.Options{Users: []*natsd.User{{Username: "a", Password: "a"}, {Username: "b", Password: "b"}}})
	dial := func(user string, subjects ...string) uint64 {
		nc, err := nats.Connect(ns.ClientURL(), nats.UserInfo(user, user))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		for _, s := range subjects {
			if _, err := nc.SubscribeSync(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
		id, err := nc.GetClientID()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a := dial("a", "_INBOX.own", "_INBOX.mux.*", "_INBOX.deep.er.>")
	b := dial("b", "_INBOX.>", "_INBOX.*", "_INBOX.shared")
	again := dial("a", "_INBOX.shared")
	const here = "127.0.0.1"
	want := map[string]string{
		"_INBOX.own":       fmt.Sprint([]Peer{{a, "a", here}}), // who listens to everything listens to nothing of its own
		"_INBOX.mux.1":     fmt.Sprint([]Peer{{a, "a", here}}),
		"_INBOX.deep.er.1": fmt.Sprint([]Peer{{a, "a", here}}),
		"_INBOX.shared":    fmt.Sprint([]Peer{{b, "b", here}, {again, "a", here}}),
		"_INBOX.nobody":    "[]",
		"_INBOX.mux":       "[]",
	}
	var looking sync.WaitGroup
	for range 20 {
		for subject, want := range want {
			looking.Go(func() {
				found, err := conns.Peers.Listening("_INBOX.other", subject)
				if err != nil {
					t.Error(err)
					return
				}
				if got := fmt.Sprint(found[1]); got != want || len(found[0]) > 0 {
					t.Errorf("%s: %s, want %s", subject, got, want)
				}
			})
		}
	}
	looking.Wait()
}

func BenchmarkListening(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", DontListen: true, NoLog: true, NoSigs: true})
			if err != nil {
				b.Fatal(err)
			}
			ns.Start()
			defer func() {
				ns.Shutdown()
				ns.WaitForShutdown()
			}()
			connect := func() *nats.Conn {
				nc, err := nats.Connect("", nats.InProcessServer(ns))
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(nc.Close)
				return nc
			}
			p := &Peers{ns: ns, own: connect()}
			for range n {
				nc := connect()
				for range 4 {
					if _, err := nc.SubscribeSync(nats.NewInbox()); err != nil {
						b.Fatal(err)
					}
				}
				if err := nc.FlushTimeout(patience); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if _, err := p.Listening("_INBOX.a", "_INBOX.b.1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
