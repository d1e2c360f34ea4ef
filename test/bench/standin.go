package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go/pb"
)

// standIn serves just enough of NATS Streaming's protocol for one client library to publish and to subscribe, on an
// embedded NATS server as ours is, and stores nothing: what it reaches is what the transport allows.
func standIn() error {
	if len(os.Args) != 2 {
		return errors.New("the port is missing")
	}
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(time.Minute) {
		return errors.New("NATS server is not ready")
	}
	s := &stand{}
	for _, conn := range []**nats.Conn{&s.general, &s.send, &s.acks} {
		if *conn, err = nats.Connect("", nats.InProcessServer(ns)); err != nil {
			return err
		}
		defer (*conn).Close()
	}
	for subject, answer := range map[string]nats.MsgHandler{
		"_STAN.discover." + cluster: s.connect, "bench.ping": s.ping, "bench.sub": s.subscribe, "bench.unsub": s.ok, "bench.close": s.ok,
	} {
		if _, err := s.general.Subscribe(subject, answer); err != nil {
			return err
		}
	}
	if _, err := s.general.Subscribe("bench.pub.>", s.publish); err != nil {
		return err
	}
	if err := s.general.Flush(); err != nil {
		return err
	}
	fmt.Println(childReady)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	return nil
}

// stand has connections for each kind of traffic, as our server has.
type stand struct{ general, send, acks *nats.Conn }

type marshaler interface{ Marshal() ([]byte, error) }

func (s *stand) answer(m *nats.Msg, with marshaler) {
	b, err := with.Marshal()
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "answer:", err)
	}
}

func (s *stand) connect(m *nats.Msg) {
	s.answer(m, &pb.ConnectResponse{PubPrefix: "bench.pub", SubRequests: "bench.sub", UnsubRequests: "bench.unsub",
		SubCloseRequests: "bench.unsub", CloseRequests: "bench.close", PingRequests: "bench.ping", PingInterval: 5, PingMaxOut: 3, Protocol: 1})
}

func (s *stand) ping(m *nats.Msg) { s.answer(m, &pb.PingResponse{}) }
func (s *stand) ok(m *nats.Msg)   { s.answer(m, &pb.SubscriptionResponse{}) }

func (s *stand) publish(m *nats.Msg) {
	var p pb.PubMsg
	if err := p.Unmarshal(m.Data); err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		return
	}
	b, err := (&pb.PubAck{Guid: p.Guid}).Marshal()
	if err == nil {
		err = s.general.Publish(m.Reply, b) // buffered, as many acknowledgements are
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
	}
}

// subscribe sends events of the channel's size until the subscriber is gone, that is, acknowledges nothing for a while.
func (s *stand) subscribe(m *nats.Msg) {
	var r pb.SubscriptionRequest
	var size int
	if err := r.Unmarshal(m.Data); err != nil {
		fmt.Fprintln(os.Stderr, "subscribe:", err)
		return
	}
	if _, err := fmt.Sscanf(r.Subject, channelOf(0)[:len(channelOf(0))-1]+"%d", &size); err != nil {
		fmt.Fprintln(os.Stderr, "subscribe:", err)
		return
	}
	inbox := "bench.ack." + nuid.Next()
	window := make(chan struct{}, r.MaxInFlight)
	acks, err := s.acks.Subscribe(inbox, func(m *nats.Msg) {
		var a pb.Ack
		if a.Unmarshal(m.Data) == nil {
			<-window
		}
	})
	if err == nil {
		err = s.acks.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "subscribe:", err)
		return
	}
	s.answer(m, &pb.SubscriptionResponse{AckInbox: inbox})
	go func() {
		defer func() { _ = acks.Unsubscribe() }()
		payload := templateOf(size).next(nil)
		for seq := uint64(1); ; seq++ {
			select {
			case window <- struct{}{}:
			default:
				select {
				case window <- struct{}{}:
				case <-time.After(time.Second):
					return
				}
			}
			b, err := (&pb.MsgProto{Sequence: seq, Subject: r.Subject, Data: payload, Timestamp: int64(seq)}).Marshal()
			if err == nil {
				err = s.send.Publish(r.Inbox, b)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "send:", err)
				return
			}
		}
	}()
}
