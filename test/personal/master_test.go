package personal_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func adminAs(t *testing.T, h *house, who string) eventstorev1connect.AdminClient {
	return eventstorev1connect.NewAdminClient(transport(t, who), "http://"+h.address, connect.WithGRPC())
}

// TestMasterKey: without its master key, or with another one, the server says so at its start, refuses what it would have to encrypt, and
// serves the rest. Once the key is back, so is everything.
func TestMasterKey(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		h := start(t, driver, source)
		mustAppend(t, h.as(t, "writer"), channel, event("e1", "c-1", "Annabella"))
		h.Stop()
		master, err := os.ReadFile(h.master)
		if err != nil {
			t.Fatal(err)
		}
		for _, lost := range []string{"", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n"} {
			if lost == "" {
				err = os.Remove(h.master)
			} else {
				err = os.WriteFile(h.master, []byte(lost), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			h.Restart()
			if !h.Log.Contains("Events with fields to encrypt are refused, and encrypted fields stay so") {
				t.Errorf("the log does not say that the master key is missing:\n%s", h.Log)
			}
			// The check before a start, and doctor, say so.
			if out, err := exec.Command(harness.Binary(), append([]string{"-t"}, h.Args...)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "the master key of encrypted fields is not available") {
				t.Errorf("-t prints %s: %v", out, err)
			}
			if out, err := exec.Command(harness.Tool(t), "doctor", "--url", "http://"+h.address, "--token", "admin").CombinedOutput(); err == nil || !strings.Contains(string(out), "nothing can be encrypted or decrypted: the master key") {
				t.Errorf("doctor prints %s: %v", out, err)
			}
			writer, clerk := h.as(t, "writer"), h.as(t, "clerk")
			if _, err := appendTo(t, writer, channel, event("", "c-1", "Annabella")); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "the master key of encrypted fields is not available") {
				t.Errorf("an event with fields: %v", err)
			}
			plain := event("", "c-3", "")
			plain.EventData = []byte(`{"city":"Bergen"}`)
			mustAppend(t, writer, channel, plain)
			if got := read(t, clerk, channel, 1); !isSealed(got, "Annabella") {
				t.Errorf("without the master key: %s", got)
			}
			_, sc := h.connect(t, fmt.Sprintf("client-%d", len(lost)))
			if err := sc.Publish("plain", []byte("x")); err != nil {
				t.Error(err)
			}
			if err := sc.Publish(people, []byte(`{"id": "p", "type": "T", "name": "N"}`)); err == nil || !strings.Contains(err.Error(), "master key") {
				t.Errorf("an event with fields: %v", err)
			}
			h.Stop()
		}
		h.Restart()
		if err := os.WriteFile(h.master, master, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx := patient(t)
		for { // it looks again every few seconds
			_, err := h.as(t, "writer").Append(ctx, &eventstorev1.AppendRequest{Channel: channel, Events: []*eventstorev1.Event{event("", "c-1", "Annabella")}})
			if err == nil {
				break
			} else if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, h.as(t, "clerk"), channel, 1); got != dataOf("c-1", "Annabella") {
			t.Errorf("with the master key: %s", got)
		}

		// A new master key.
		if err := os.WriteFile(h.master, append([]byte("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n"), master...), 0o600); err != nil {
			t.Fatal(err)
		}
		rotated, err := h.admin(t).RotateMasterKey(patient(t), &eventstorev1.RotateMasterKeyRequest{})
		if err != nil || rotated.GetKeys() != 1 {
			t.Fatal(rotated, err)
		}
		if err := os.WriteFile(h.master, []byte("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.Stop()
		h.Restart()
		if got := read(t, h.as(t, "clerk"), channel, 1); got != dataOf("c-1", "Annabella") {
			t.Errorf("with the new master key: %s", got)
		}
		if _, err := h.admin(t).RenewSubjectKey(patient(t), &eventstorev1.RenewSubjectKeyRequest{Subject: "c-1"}); err != nil {
			t.Fatal(err)
		}
		list, err := h.admin(t).ListKeys(patient(t), &eventstorev1.ListKeysRequest{PageSize: 1})
		if err != nil || len(list.GetKeys()) != 1 || list.GetNextPageToken() == "" || list.GetLocked() != "" {
			t.Error(list, err)
		}
		list, err = h.admin(t).ListKeys(patient(t), &eventstorev1.ListKeysRequest{PageSize: 1, PageToken: list.GetNextPageToken()})
		if err != nil || len(list.GetKeys()) != 1 || list.GetNextPageToken() != "" {
			t.Error(list, err)
		}
	})
}

// TestOutageOfKeys: while the database of the keys is away, readers with the right personal get an error, not ciphertext that they might
// take for the truth. Everybody else notices nothing.
func TestOutageOfKeys(t *testing.T) {
	t.Parallel()
	keys := databases.Own(t, databases.KindPostgres)
	if err := keys.CreateDatabase("keys"); err != nil {
		t.Fatal(err)
	}
	h := start(t, "postgres", databases.Postgres(t))
	h.Stop()
	h.keys = keys.DSN("keys")
	h.run(t)
	mustAppend(t, h.as(t, "writer"), channel, event("e1", "c-1", "Annabella"))
	if err := keys.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx := patient(t)
	for { // a key counts for a second
		_, err := h.as(t, "clerk").GetEvent(ctx, &eventstorev1.GetEventRequest{Channel: channel, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 1}})
		if connect.CodeOf(err) == connect.CodeUnavailable && strings.Contains(err.Error(), "the database of the keys is unavailable") {
			break
		} else if err != nil || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, h.as(t, "reader"), channel, 1); !isSealed(got, "Annabella") {
		t.Errorf("without the right personal: %s", got)
	}
	_, err := appendTo(t, h.as(t, "writer"), channel, event("e2", "c-1", "Annabella"))
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("an event with fields: %v", err)
	}
	_, sc := h.connect(t, "client")
	if err := sc.Publish("plain", []byte("x")); err != nil {
		t.Error(err)
	}
	if err := keys.Restart(); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := h.as(t, "writer").Append(ctx, &eventstorev1.AppendRequest{Channel: channel, Events: []*eventstorev1.Event{event("e2", "c-1", "Annabella")}})
		if err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, h.as(t, "clerk"), channel, 2); got != dataOf("c-1", "Annabella") {
		t.Errorf("after the outage: %s", got)
	}
}

// TestMistakes: what would not protect anybody is refused at the start.
func TestMistakes(t *testing.T) {
	t.Parallel()
	const keys = `keys { master: "env:KEY", source: "keys.db" }`
	for conf, want := range map[string]string{
		`events { encrypt: { subject: "$.id", fields: ["$.name"] } }`: "encrypt needs keys",
		keys + `
		events { encrypt: { fields: ["$.name"] } }`: "entry 1 has no subject",
		keys + `
		events { encrypt: { subject: "$.id", fields: ["$.name"], index_event_data: ["$.name"] } }`: "index_event_data",
		keys + `
		events { index_event_data: ["$.name"], encrypt: { subject: "$.id", fields: ["$.name"] } }`: `field "$.name" has an index`,
		keys + `
		events { format: json, aggregate_id: "$.id", event_type: "= T", encrypt: { subject: "$.who", fields: ["$.id"] } }`: "is the aggregate_id, too",
		keys + `
		events { plain_subscribers: true }`: "plain_subscribers needs encrypt",
		`keys { source: "keys.db" }
		events { encrypt: { subject: "$.id", fields: ["$.name"] } }`: "keys.master is missing",
		`keys { master: "env:KEY" }
		events { encrypt: { subject: "$.id", fields: ["$.name"] } }`: "keys.source is missing",
		`keys { master: "hunter2", source: "keys.db" }
		events { encrypt: { subject: "$.id", fields: ["$.name"] } }`: "must be file:PATH, env:NAME or command:PROGRAM",
		`keys { master: "env:KEY", source: "data/eventstore.db" }
		events { encrypt: { subject: "$.id", fields: ["$.name"] } }`: "name another database",
	} {
		s := harness.New(t, harness.Binary(), "-c", "server.conf")
		write(t, s.Dir+"/server.conf", "streaming {\n"+conf+"\n}")
		s.Launch()
		<-s.Process.Done()
		if !s.Log.Contains(want) {
			t.Errorf("%s: want %s:\n%s", conf, want, s.Log)
		}
	}
}
