package admin_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// acts are a request of each method, and whether it is about the consumer of one channel.
var acts = []struct {
	method  string
	channel bool
	more    m
}{
	{"GetConsumer", true, nil},
	{"ConfigureConsumer", true, m{"settings": m{"paused": true}}},
	{"PauseConsumer", true, nil},
	{"ResumeConsumer", true, nil},
	{"SetConsumerPosition", true, m{"end": true}},
	{"SkipMessage", true, m{"sequence": 1}},
	{"DropConsumer", true, nil},
	{"ListParked", true, nil},
	{"ReplayParked", true, m{"all": true}},
	{"DiscardParked", true, m{"all": true, "reason": "r"}},
	{"CancelDelivery", true, m{"eventId": "e1"}},
	{"ListClients", false, nil},
	{"KickClient", false, m{"client": "worker"}},
	{"ListKeys", false, m{}},
	{"GetSubjectKeys", false, m{"subject": "s"}},
	{"ForgetSubject", false, m{"subject": "s"}},
	{"RenewSubjectKey", false, m{"subject": "s"}},
	{"RotateMasterKey", false, m{}},
	{"ListAudit", false, nil},
	{"EraseEvents", true, m{"sequence": 1, "reason": "r"}},
	{"EraseEvents", false, m{"aggregateId": "a", "reason": "r"}},
	{"ListErasures", false, nil},
}

// ofChannel are methods about one channel and none of its consumers.
var ofChannel = []string{"CancelDelivery", "EraseEvents"}

// request returns a request about the consumer of a channel.
func request(method, channel string, more m) m {
	req := m{}
	if channel != "" {
		req["channel"] = channel
		if !slices.Contains(ofChannel, method) {
			req["name"] = "workers"
		}
	}
	for k, v := range more {
		req[k] = v
	}
	return req
}

// TestRights: acts need the right admin on the channels that they concern, and the audit names who acted.
func TestRights(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.conf")
	text := "principals: [\n"
	for name, rights := range map[string]string{
		"operator": `admin: [">"]`, "billing": `admin: ["eventstore.billing.>"], consume: [">"], append: [">"], read: [">"]`, "reader": `read: [">"], consume: [">"], append: [">"], monitor: true`,
	} {
		text += fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
	}
	if err := os.WriteFile(file, []byte(text+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "sqlite", databases.SQLite(t), "-access_file", file, "-grpc_token", "shared")
	const mine, other = "eventstore.billing.bills", "eventstore.sales"
	s.token = "operator"
	for _, channel := range []string{mine, other, "eventstore.*.bills"} {
		s.do(t, "ConfigureConsumer", request("", channel, m{"settings": m{"paused": true}}))
	}
	for _, it := range acts {
		for _, who := range []string{"billing", "reader"} {
			s.token = who
			for _, channel := range []string{mine, other, "eventstore.*.bills"} {
				if !it.channel {
					channel = ""
				} else if who == "billing" && channel == mine || slices.Contains(ofChannel, it.method) && channel == "eventstore.*.bills" {
					continue
				}
				s.refused(t, it.method, request(it.method, channel, it.more), "permission_denied", fmt.Sprintf(`permissions violation: principal %q has no right "admin" on `, who))
			}
		}
	}
	for who, want := range map[string]int{"operator": 3, "shared": 3, "billing": 1, "reader": 0} {
		s.token = who
		if found, _ := s.do(t, "ListConsumers", m{})["consumers"].([]any); len(found) != want {
			t.Errorf("%s sees consumers %v", who, found)
		}
	}
	s.token = "billing"
	s.refused(t, "ListConsumers", m{"channel": other}, "permission_denied", `principal "billing" has no right "admin" on channel "eventstore.sales"`)
	s.do(t, "ResumeConsumer", request("", mine, nil))
	s.token = "shared"
	s.do(t, "ResumeConsumer", request("", other, nil))
	entries := s.do(t, "ListAudit", m{"pageSize": 2})["entries"].([]any)
	for i, principal := range []string{"grpc_token", "billing"} {
		if e := entries[i].(m); e["principal"] != principal || e["address"] != "127.0.0.1" || e["action"] != "resume" {
			t.Errorf("act %d: %v", i, e)
		}
	}
	s.token = "nobody"
	s.refused(t, "ListConsumers", m{}, "unauthenticated", "no valid token")
}

// TestWithoutAuthentication: only requests from this machine, to a name of this machine, may administer, even if all others are let in.
func TestWithoutAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-grpc_host", "0.0.0.0", "-grpc_insecure")
	s.do(t, "ListConsumers", m{})
	for _, host := range []string{"localhost", "127.0.0.1:4280", "[::1]:4280"} {
		s.host = host
		s.do(t, "ListConsumers", m{})
	}
	s.host = "shop.example" // as a web page can have its name lead here
	for _, it := range acts {
		channel := ""
		if it.channel {
			channel = orders
		}
		s.refused(t, it.method, request(it.method, channel, it.more), "permission_denied", "administration from other machines needs a token or a client certificate")
	}
	s.append(t, orders, "e1") // others may do the rest
}

// TestBadRequests: what cannot be is refused with a text that says what to write.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.append(t, orders, "e1")
	with := func(more m) m { return request("", orders, more) }
	for _, it := range []struct {
		method  string
		request m
		code    string
		text    string
	}{
		{"GetConsumer", m{}, "invalid_argument", "channel is missing"},
		{"GetConsumer", m{"channel": "a..b", "name": "x"}, "invalid_argument", `channel "a..b" is not a channel or a pattern`},
		{"GetConsumer", m{"channel": orders}, "invalid_argument", "name is missing"},
		{"GetConsumer", with(nil), "not_found", `unknown consumer: queue group "workers" of "eventstore.orders"`},
		{"GetConsumer", with(m{"nmae": "x"}), "invalid_argument", "nmae"},
		{"PauseConsumer", with(nil), "not_found", "unknown consumer"},
		{"ConfigureConsumer", with(nil), "invalid_argument", "nothing is to be changed"},
		{"ConfigureConsumer", with(m{"clear": []string{"max_delivery"}}), "invalid_argument", `clear: "max_delivery" is not a setting: send one of *, ack_wait`},
		{"ConfigureConsumer", with(m{"settings": m{"maxDeliveries": 3000000}}), "invalid_argument", "max_deliveries is 3000000: write 1 to"},
		{"ConfigureConsumer", with(m{"settings": m{"onLimit": "prk"}}), "invalid_argument", `on_limit is "prk": write one of park, skip, stall`},
		{"ConfigureConsumer", with(m{"settings": m{"onlimit": "park"}}), "invalid_argument", "onlimit"},
		{"ConfigureConsumer", with(m{"settings": m{"ackWait": "0.001s"}}), "invalid_argument", "ack_wait: 1ms is out of range"},
		{"SetConsumerPosition", with(m{"end": true}), "not_found", "unknown consumer"},
		{"SkipMessage", with(nil), "invalid_argument", "sequence is missing"},
		{"ReplayParked", with(nil), "invalid_argument", "sequences are missing"},
		{"ReplayParked", with(m{"all": true, "sequences": []int{1}}), "invalid_argument", "exclude each other"},
		{"DiscardParked", with(m{"all": true}), "invalid_argument", "reason is missing"},
		{"ListParked", with(m{"pageToken": "x"}), "invalid_argument", `page_token "x"`},
		{"ListConsumers", m{"pageToken": "x"}, "invalid_argument", `page_token "x"`},
		{"CancelDelivery", m{"channel": orders}, "invalid_argument", "event_id is missing"},
		{"CancelDelivery", m{"channel": orders, "eventId": "x"}, "not_found", `no event with event_id "x"`},
		{"CancelDelivery", m{"channel": orders, "eventId": "e1"}, "failed_precondition", "no deliver_at in its metadata"},
		{"CancelDelivery", m{"channel": "eventstore.x", "eventId": "e1"}, "not_found", "unknown channel"},
		{"KickClient", m{"client": "nobody"}, "not_found", `"nobody": unknown client`},
		{"KickClient", m{}, "invalid_argument", "client is missing"},
	} {
		s.refused(t, it.method, it.request, it.code, it.text)
	}
	// Settings wait for a consumer that does not exist yet.
	s.do(t, "ConfigureConsumer", with(m{"settings": m{"paused": true}}))
	s.refused(t, "SetConsumerPosition", with(m{"end": true}), "failed_precondition", "has no subscription")
	if c := s.consumer(t, with(nil)); c["exists"] != nil || c["settings"].(m)["paused"] != true {
		t.Errorf("%v", c)
	}
	// Nothing that was refused is in the audit.
	if entries := s.do(t, "ListAudit", m{})["entries"].([]any); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
	// Pages.
	for i := range 5 {
		s.do(t, "ConfigureConsumer", m{"channel": orders, "name": fmt.Sprint("w", i), "settings": m{"paused": true}})
	}
	var names []any
	for token, more := any(""), true; more; {
		page := s.do(t, "ListConsumers", m{"pageSize": 2, "pageToken": token, "channel": "eventstore.>"})
		for _, c := range page["consumers"].([]any) {
			names = append(names, c.(m)["name"])
		}
		token, more = page["nextPageToken"]
	}
	if got := fmt.Sprint(names); got != "[w0 w1 w2 w3 w4 workers]" {
		t.Errorf("pages: %s", got)
	}
}
