package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// forged is what an attacker would like to see in the log.
const forged = "[INF] STREAM: forged"

// evil are names that clients choose, each to be followed by what makes it one of its kind.
var evil = []string{"a\n" + forged, "a\r" + forged, "\x1b[2J" + forged, "\u009b2J" + forged, "\u202e" + forged, "\u2028" + forged, "\xff\xfe" + forged, "\x00" + forged}

// Names of clients, channels, durables, queue groups, inboxes, events and connections make no line of their own in the log, and
// reach no terminal, at any level.
func TestHostileNamesInLog(t *testing.T) {
	t.Parallel()
	for _, sink := range []string{"stderr", "file"} {
		t.Run(sink, func(t *testing.T) {
			t.Parallel()
			args := []string{"-m", "-1", "-SDV", "-DV", "-grpc_host", "127.0.0.1", "-grpc_port", "-1"}
			s := prepare(t, harness.Binary(), append([]string{"-store", "SQL", "-sql_driver", "sqlite", "-sql_source", databases.SQLite(t)}, args...)...)
			file := filepath.Join(t.TempDir(), "server.log")
			text := func() string { return s.Log.String() }
			if sink == "file" {
				s.Args = append(s.Args, "-l", file)
				text = func() string {
					b, err := os.ReadFile(file)
					if err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					return string(b)
				}
			}
			s.Launch()
			eventually(t, func() bool { return strings.Contains(text(), "Streaming Server is ready") })
			api := regexp.MustCompile(`API listens on (\S+)`).FindStringSubmatch(text())[1]
			for _, name := range evil {
				useHostileNames(t, s, api, name)
			}
			wire.Dial(t, s.URL()).Register("last")
			eventually(t, func() bool { return strings.Contains(text(), "[Client:last] Connected") })
			s.Stop()
			checkHostileLog(t, text())
		})
	}
}

// useHostileNames has clients use a name wherever they choose one. What the server answers does not matter.
func useHostileNames(t *testing.T, s *server, api, name string) {
	t.Helper()
	named, err := nats.Connect(s.URL(), nats.Name(name), nats.RetryOnFailedConnect(false))
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	nc := wire.Dial(t, s.URL())
	cl := nc.Register(fmt.Sprintf("client-%x", name))
	ask := func(subject string, m wire.Message) {
		_, err := nc.Request(subject, wire.Encode(t, m), patience)
		if err != nil {
			t.Fatal(err)
		}
	}
	ask(wire.Discover, &pb.ConnectRequest{ClientID: name, HeartbeatInbox: name, ConnID: []byte(name)})
	ask(wire.Discover, &pb.ConnectRequest{ClientID: fmt.Sprintf("other-%x", name), HeartbeatInbox: name, ConnID: []byte(name)})
	ask(wire.Pings, &pb.Ping{ConnID: []byte(name + "?")})
	ask(wire.Close, &pb.CloseRequest{ClientID: name})
	for _, subscription := range []*pb.SubscriptionRequest{
		{ClientID: name, Subject: "c", Inbox: name},
		{ClientID: cl.ID, Subject: name, Inbox: name},
		{ClientID: cl.ID, Subject: strings.ReplaceAll(name, " ", ""), Inbox: name, MaxInFlight: 1 << 30},
		{ClientID: cl.ID, Subject: "c", Inbox: name, DurableName: name, MaxInFlight: 1 << 30},
		{ClientID: cl.ID, Subject: "c", Inbox: name, QGroup: name},
		{ClientID: cl.ID, Subject: "c", Inbox: name, QGroup: name, DurableName: name},
	} {
		subscription.AckWaitInSecs = 30
		if subscription.MaxInFlight == 0 {
			subscription.MaxInFlight = 1
		}
		ask(wire.Subscribe, subscription)
		ask(wire.SubClose, &pb.UnsubscribeRequest{ClientID: name, Subject: subscription.Subject, Inbox: name})
		ask(wire.Unsubscribe, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: subscription.Subject, Inbox: name})
	}
	subject := strings.NewReplacer(" ", "", "\n", "", "\r", "", "\x00", "").Replace(name) // what NATS carries
	valid := strings.ToValidUTF8(name, "")
	for _, m := range []*pb.PubMsg{
		{ClientID: name, Guid: name, Subject: name},
		{ClientID: name, ConnID: []byte(cl.ConnID), Guid: name, Subject: subject, Reply: name},
		{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Guid: name, Subject: orders, Data: event(t, valid, valid, withID(valid), withVersion(7))},
		{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Guid: name, Subject: orders, Data: event(t, "A", valid, withID("1"), withData(valid))},
	} {
		ask(wire.Publish+"."+subject, m)
		ask(wire.Publish+"."+orders, m)
	}
	for method, request := range map[string]any{
		"Append":        map[string]any{"channel": name, "events": []any{map[string]any{"eventId": name, "eventType": name, "aggregateId": name}}},
		"ReadAggregate": map[string]any{"channel": name, "aggregateId": name},
		"GetEvent":      map[string]any{"channel": name, "eventId": name},
	} {
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		post(t, "", api+"/eventstore.v1.EventStore/"+method, string(body))
	}
	post(t, "", api+"/eventstore.v1.EventStore/Append", string(wire.Encode(t, &pb.PubMsg{Guid: name})))
}

func checkHostileLog(t *testing.T, text string) {
	t.Helper()
	line := regexp.MustCompile(`^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[(INF|DBG|TRC|WRN|ERR|FTL)\] `)
	seen := 0
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		found := line.FindString(l)
		if found == "" || strings.HasPrefix(l[len(found):], "STREAM: forged") {
			t.Errorf("a line of its own: %q", l)
		}
		for _, r := range l {
			if !unicode.IsPrint(r) {
				t.Errorf("%U in %q", r, l)
				break
			}
		}
		if strings.Contains(l, "forged") {
			seen++
		}
	}
	if seen < 3*len(evil) {
		t.Errorf("only %d lines name what clients chose", seen)
	}
}
