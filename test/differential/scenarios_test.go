package differential

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

func at(pos pb.StartPosition, n uint64, delta time.Duration) wire.Option {
	return func(r *pb.SubscriptionRequest) {
		r.StartPosition, r.StartSequence, r.StartTimeDelta = pos, n, int64(delta)
	}
}

var scenarios = []scenario{
	{"connect", func(p *play) {
		for _, req := range []*pb.ConnectRequest{
			{},
			{ClientID: "a b"},
			{HeartbeatInbox: "_INBOX.x"},
			{ClientID: "a b", HeartbeatInbox: "_INBOX.x"},
			{ClientID: p.id("zero"), HeartbeatInbox: "_INBOX.x", PingInterval: 3, PingMaxOut: 4},
			{ClientID: p.id("one"), HeartbeatInbox: "_INBOX.x", Protocol: 1, PingInterval: -3, PingMaxOut: -4, ConnID: []byte("x")},
			{ClientID: p.id("two"), HeartbeatInbox: "_INBOX.x", Protocol: 2},
			{ClientID: p.id("minus"), HeartbeatInbox: "_INBOX.x", Protocol: -1},
		} {
			p.note("connect", "%v", p.conn.Connect(req))
		}
		cl := p.client("a")
		p.note("duplicate", "%v", p.conn.Connect(p.conn.Prepare(cl.ID).Request()))
		p.result("ping", p.conn.Ping(cl.ConnID))
		p.result("ping of another", p.conn.Ping("other"))
		p.result("close", cl.Bye())
		p.result("close again", cl.Bye())
		p.result("ping of the closed", p.conn.Ping(cl.ConnID))
		p.client("a")
	}},
	{"unparsable", func(p *play) {
		for _, data := range [][]byte{nil, {0x0a, 0xff}, {0xff}, []byte("hello"), {0x08, 0x01}} {
			p.raw("connect", wire.Discover, data, &pb.ConnectResponse{})
			p.raw("subscribe", wire.Subscribe, data, &pb.SubscriptionResponse{})
			p.raw("unsubscribe", wire.Unsubscribe, data, &pb.SubscriptionResponse{})
			p.raw("sub-close", wire.SubClose, data, &pb.SubscriptionResponse{})
			p.raw("close", wire.Close, data, &pb.CloseResponse{})
		}
		p.raw("ping", wire.Pings, []byte{0x12, 0x00}, &pb.PingResponse{})
		for _, data := range [][]byte{nil, {0xff}} {
			p.raw("ping", wire.Pings, data, &pb.PingResponse{})
		}
		for _, data := range [][]byte{nil, {0x0a, 0xff}} {
			p.raw("publish", wire.Publish+".c", data, &pb.PubAck{})
		}
		var ack pb.PubAck
		text := wire.Timeout
		if p.conn.Ask(wire.Publish+".c", []byte{0x50, 0x01}, &ack, noAnswer) {
			text = ack.Error
		}
		p.result("publish what might be a control message", text)
	}},
	{"publish", func(p *play) {
		cl := p.client("a")
		sub := p.sub(cl, "all", "c", wire.All)
		for _, m := range []*pb.PubMsg{
			{},
			{ClientID: cl.ID, Subject: p.id("c")},
			{ClientID: cl.ID, Guid: "g"},
			{ClientID: cl.ID, Guid: "g", Subject: p.id("c..d")},
			{ClientID: "unknown", Guid: "g", Subject: p.id("c")},
			{ClientID: cl.ID, ConnID: []byte("unknown"), Guid: "g", Subject: p.id("c")},
			{ClientID: cl.ID, Guid: "g", Subject: p.id("c"), Data: []byte("by ID")},
			{ClientID: "unknown", ConnID: []byte(cl.ConnID), Guid: "g", Subject: p.id("c"), Reply: "r"},
		} {
			p.raw("publish", wire.Publish+"."+p.id("c"), wire.Encode(p.t, m), &pb.PubAck{})
		}
		p.publish(cl, "c", "1", "2", "2")
		p.rest("received", sub)
		var ack pb.PubAck
		if !p.conn.Ask(wire.Publish+".x", wire.Encode(p.t, &pb.PubMsg{ClientID: cl.ID, Guid: "g", Subject: p.id("lie")}), &ack, noAnswer) {
			ack.Error = wire.Timeout
		}
		p.result("publish lie", ack.Error)
	}},
	{"subscribe", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "Case", "1")
		p.sub(cl, "durable", "c", wire.Durable("d"))
		req := &pb.SubscriptionRequest{StartPosition: 7}
		for _, fix := range []func(){
			func() { req.ClientID = "unknown" },
			func() { req.AckWaitInSecs = 1 },
			func() { req.MaxInFlight = 1 },
			func() { req.StartPosition = -1 },
			func() { req.StartPosition = 0 },
			func() { req.Subject = p.id("c.*") },
			func() { req.Subject = p.id("case") },
			func() { req.ClientID, req.DurableName, req.QGroup = cl.ID, "d:", "q" },
			func() { req.Subject = p.id("c") },
			func() { req.QGroup = "" },
			func() { req.DurableName = "d" },
			func() { req.QGroup = "q:" },
			func() { req.DurableName, req.QGroup = "", ":" },
		} {
			p.note("subscribe", "%v", p.conn.Subscribe(req))
			fix()
		}
		for _, name := range strings.Split("a,.a,a.,a..b,a/b,a*b,*,>,a.>,ü,A-b_c,a!b", ",") {
			p.sub(cl, name, name)
		}
	}},
	{"end", func(p *play) {
		cl, other := p.client("a"), p.client("b")
		sub := p.sub(cl, "plain", "c")
		for _, subject := range []string{wire.Unsubscribe, wire.SubClose} {
			for _, req := range []*pb.UnsubscribeRequest{
				{},
				{ClientID: cl.ID, Subject: p.id("none"), Inbox: sub.AckInbox},
				{ClientID: cl.ID, Subject: p.id("c"), Inbox: "none"},
				{ClientID: cl.ID, Subject: p.id("c")},
				{ClientID: other.ID, Subject: p.id("c"), Inbox: sub.AckInbox},
				{Subject: p.id("c"), Inbox: sub.AckInbox},
			} {
				p.result(subject, p.conn.End(subject, req))
			}
		}
		p.result("close by data inbox", cl.End(wire.SubClose, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: p.id("c"), Inbox: sub.Inbox}))
		p.result("close again", sub.Close())
		p.result("close client", p.conn.CloseClient("unknown"))
		p.result("close client", p.conn.CloseClient(""))
	}},
	{"start positions", func(p *play) {
		cl := p.client("a")
		positions := func(what string) []*wire.Sub {
			var subs []*wire.Sub
			for pos := pb.StartPosition_NewOnly; pos <= pb.StartPosition_First; pos++ {
				for _, n := range []uint64{0, 1, 3, 5, 6, 100, 1 << 63} {
					subs = append(subs, p.sub(cl, what, "c", at(pos, n, time.Duration(n))))
				}
				subs = append(subs, p.sub(cl, what, "c", at(pos, 2, time.Hour)), p.sub(cl, what, "c", at(pos, 2, -time.Hour)))
			}
			return subs
		}
		empty := positions("empty")
		p.publish(cl, "c", "1", "2", "3", "4", "5")
		full := positions("full")
		p.publish(cl, "c", "6")
		p.rest("received", append(empty, full...)...)
	}},
	{"redelivery", func(p *play) {
		cl := p.client("a")
		sub := p.sub(cl, "two in flight", "c", wire.Max(2), wire.AckWait(1))
		p.publish(cl, "c", "1", "2", "3", "4", "5")
		p.receive("without ack", sub, 6)
		sub.Ack(2)
		p.receive("after an ack", sub, 3)
		sub.Ack(1, 3)
		p.receive("after all acks", sub, 4)
	}},
	{"durable", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "c", "1", "2", "3")
		sub := p.sub(cl, "durable", "c", wire.All, wire.Durable("d"), wire.AckWait(2))
		p.sub(cl, "duplicate", "c", wire.Durable("d"))
		p.receive("received", sub, 3)
		sub.Ack(2)
		p.result("close", sub.Close())
		p.publish(cl, "c", "4", "5")
		sub = p.sub(cl, "again", "c", wire.Durable("d"), wire.Max(3), wire.AckWait(2))
		p.receive("resumed", sub, 3)
		sub.Ack(1, 3, 4)
		p.receive("then", sub, 1)
		p.result("close client", cl.Bye())
		cl = p.client("a")
		sub = p.sub(cl, "of the new client", "c", wire.Durable("d"))
		p.rest("resumed", sub)
		p.result("unsubscribe", sub.Unsubscribe())
		sub = p.sub(cl, "anew", "c", wire.Durable("d"), at(pb.StartPosition_SequenceStart, 4, 0))
		p.rest("anew", sub)
	}},
	{"resume with another ack wait", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "c", "1", "2")
		sub := p.sub(cl, "a minute", "c", wire.All, wire.Durable("d"), wire.AckWait(60))
		p.receive("received", sub, 2)
		sub.Ack(2)
		p.result("close", sub.Close())
		p.publish(cl, "c", "3")
		p.receive("a second", p.sub(cl, "a second", "c", wire.Durable("d"), wire.AckWait(1)), 3)
	}},
	{"queue group", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "c", "1", "2")
		one := p.sub(cl, "first", "c", wire.Queue("q"), at(pb.StartPosition_SequenceStart, 2, 0), wire.Max(3))
		p.receive("first", one, 1)
		two := p.sub(cl, "second", "c", wire.Queue("q"), wire.All, wire.Max(1))
		p.publish(cl, "c", "3", "4", "5", "6", "7")
		p.rest("first", one)
		p.rest("second", two)
		one.Ack(2)
		p.rest("first", one)
		two.Ack(3)
		p.rest("second", two)
		p.result("second leaves", two.Close())
		p.rest("first", one)
		p.result("first leaves", one.Close())
		p.rest("a new group", p.sub(cl, "new group", "c", wire.Queue("q"), wire.All))
	}},
	{"ack by another member", func(p *play) {
		cl := p.client("a")
		one := p.sub(cl, "first", "c", wire.Queue("q"), wire.Max(1))
		two := p.sub(cl, "second", "c", wire.Queue("q"), wire.Max(1))
		p.publish(cl, "c", "1", "2", "3")
		p.rest("both", one, two)
		two.Ack(1)
		p.rest("after the ack", one)
	}},
	{"queue redelivery", func(p *play) {
		cl := p.client("a")
		one := p.sub(cl, "first", "c", wire.Queue("q"), wire.AckWait(1))
		p.publish(cl, "c", "1", "2", "3")
		p.receive("first", one, 3)
		two := p.sub(cl, "second", "c", wire.Queue("q"), wire.AckWait(60))
		p.receive("second", two, 1)
		two.Ack(1)
		p.flushAcks(cl)
		one.Ack(2, 3)
		p.flushAcks(cl)
	}},
	{"durable queue group", func(p *play) {
		a, b := p.client("a"), p.client("b")
		p.publish(a, "c", "1", "2", "3", "4")
		opts := []wire.Option{wire.Durable("d"), wire.Queue("q"), wire.All}
		one := p.sub(a, "first", "c", opts...)
		p.receive("first", one, 4)
		one.Ack(2)
		p.result("last member closes", one.Close())
		p.publish(a, "c", "5")
		two := p.sub(b, "resumed by another", "c", opts...)
		p.receive("resumed", two, 4)
		one = p.sub(a, "joins", "c", opts...)
		p.result("member unsubscribes", two.Unsubscribe())
		p.receive("dealt", one, 4)
		p.result("close client", a.Bye())
		two = p.sub(b, "resumed", "c", opts...)
		p.receive("resumed", two, 4)
		p.result("last member unsubscribes", two.Unsubscribe())
		p.rest("anew", p.sub(b, "anew", "c", opts...))
	}},
	{"compound name", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "c", "1", "2")
		durable := p.sub(cl, "durable", "c", wire.Durable("d"), wire.Queue("q"), wire.All)
		p.receive("durable", durable, 2)
		named := p.sub(cl, "by name", "c", wire.Queue("d:q"), wire.All)
		p.result("durable leaves", durable.Close())
		p.receive("dealt", named, 2)
		p.result("the other leaves", named.Close())
		sub := p.sub(cl, "again", "c", wire.Durable("d"), wire.Queue("q"), wire.All)
		p.receive("resumed", sub, 2)
	}},
	{"silent client", func(p *play) {
		old := p.client("a")
		p.sub(old, "durable", "c", wire.Durable("d"))
		old.Silence()
		cl := p.clientOn(wire.Dial(p.t, p.server.URL()), "a")
		p.result("ping of the old", p.conn.Ping(old.ConnID))
		p.publish(old, "c", "old")
		p.publish(cl, "c", "new")
		p.rest("durable", p.sub(cl, "durable", "c", wire.Durable("d")))
	}},
	{"replaced client", func(p *play) {
		old := p.client("a")
		sub := p.sub(old, "durable", "c", wire.Durable("d"))
		old.Leave()
		cl := p.clientOn(wire.Dial(p.t, p.server.URL()), "a")
		p.result("unsubscribe of the replaced", sub.Unsubscribe())
		p.result("close of the replaced", old.Bye())
		p.sub(cl, "of the successor", "c")
	}},
	{"foreign inbox", func(p *play) {
		cl, intruder := p.client("a"), p.client("b")
		victim := p.sub(cl, "victim", "c")
		p.sub(intruder, "intruder", "c", func(r *pb.SubscriptionRequest) { r.Inbox = victim.AckInbox })
		p.result("close of the victim", victim.Close())
	}},
	{"letter case", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "Some.Name", "1")
		p.publish(cl, "some.name", "1")
		p.sub(cl, "other case", "SOME.NAME")
	}},
	{"acks", func(p *play) {
		cl := p.client("a")
		sub := p.sub(cl, "one in flight", "c", wire.Max(1), wire.AckWait(1))
		p.publish(cl, "c", "1", "2", "3")
		p.receive("first", sub, 1)
		for _, data := range [][]byte{nil, {0xff}, wire.Encode(p.t, &pb.Ack{Subject: p.id("other"), Sequence: 1}), wire.Encode(p.t, &pb.Ack{Subject: p.id("c"), Sequence: 9})} {
			if err := cl.PublishMsg(&nats.Msg{Subject: sub.AckInbox, Data: data}); err != nil {
				p.t.Fatal(err)
			}
		}
		p.receive("acks of nothing", sub, 1)
		sub.Ack(1, 1)
		p.receive("acked twice", sub, 2)
	}},
}

var replaceScenarios = []scenario{
	{"replace durable", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "c", "1", "2")
		sub := p.sub(cl, "first", "c", wire.Durable("d"), wire.All)
		p.receive("first", sub, 2)
		resumed := p.sub(cl, "second", "c", wire.Durable("d"), wire.All)
		p.receive("second", resumed, 2)
		p.result("close of the first", sub.Close())
		resumed.Ack(1)
		p.result("close of the second", resumed.Close())
		p.rest("resumed", p.sub(cl, "third", "c", wire.Durable("d")))
	}},
}

var heartbeatScenarios = []scenario{
	{"silent client is closed", func(p *play) {
		cl := p.client("a")
		sub := p.sub(cl, "durable", "c", wire.Durable("d"), wire.AckWait(2))
		plain := p.sub(cl, "plain", "c", wire.AckWait(2))
		p.publish(cl, "c", "1")
		p.receive("durable", sub, 1)
		p.receive("plain", plain, 1)
		cl.Silence()
		p.server.WaitLog(p.t, "[Client:"+cl.ID+"] Timed out on heartbeats")
		cl = p.client("a")
		p.rest("plain", plain)
		p.rest("durable of the closed", sub)
		p.rest("durable", p.sub(cl, "durable", "c", wire.Durable("d")))
	}},
	{"member that fails", func(p *play) {
		good, bad := p.client("good"), p.client("bad")
		one, two := p.sub(bad, "bad", "c", wire.Queue("q")), p.sub(good, "good", "c", wire.Queue("q"))
		p.publish(good, "c", "1", "2")
		p.receive("bad", one, 1)
		p.receive("good", two, 1)
		bad.Silence()
		p.receive("good when the other is closed", two, 1)
		p.rest("bad", one)
	}},
}

var restartScenarios = []scenario{
	{"restart", func(p *play) {
		cl := p.client("a")
		p.publish(cl, "c", "1", "2", "3")
		plain := p.sub(cl, "plain", "c", wire.All, wire.AckWait(2))
		durable := p.sub(cl, "durable", "c", wire.All, wire.Durable("d"), wire.Max(2), wire.AckWait(2))
		offline := p.sub(cl, "offline", "c", wire.All, wire.Durable("e"))
		p.receive("plain", plain, 3)
		p.receive("durable", durable, 2)
		p.receive("offline", offline, 3)
		offline.Ack(1)
		plain.Ack(2)
		p.result("close", offline.Close())
		p.restart()
		p.result("ping", p.conn.Ping(cl.ConnID))
		p.receive("plain", plain, 2)
		p.receive("durable", durable, 2)
		plain.Ack(1, 3)
		durable.Ack(1)
		p.receive("durable after an ack", durable, 1)
		p.publish(cl, "c", "4")
		p.receive("plain", plain, 1)
		p.rest("offline", p.sub(cl, "offline", "c", wire.Durable("e")))
		p.sub(cl, "duplicate", "c", wire.Durable("d"))
		p.note("duplicate client", "%v", p.conn.Connect(p.conn.Prepare(cl.ID).Request()))
	}},
	{"restart of a queue group", func(p *play) {
		cl := p.client("a")
		opts := []wire.Option{wire.Queue("q"), wire.Durable("d"), wire.AckWait(2)}
		one, two := p.sub(cl, "first", "c", opts...), p.sub(cl, "second", "c", opts...)
		p.publish(cl, "c", "1", "2", "3", "4")
		p.receive("first", one, 2)
		p.receive("second", two, 2)
		two.Ack(2, 4)
		p.result("second leaves", two.Close())
		p.restart()
		p.receive("first", one, 2)
		one.Ack(1, 3)
		p.flushAcks(cl)
		p.publish(cl, "c", "5")
		p.receive("first", one, 1)
	}},
}
