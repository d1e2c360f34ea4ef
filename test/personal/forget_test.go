package personal_test

import (
	"os"
	"strings"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func (h *house) forget(t *testing.T, subject string) {
	t.Helper()
	resp, err := h.admin(t).ForgetSubject(patient(t), &eventstorev1.ForgetSubjectRequest{Subject: subject, Reason: "asked to be"})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range resp.GetKeys() {
		if k.GetForgottenAt() == nil {
			t.Errorf("key %s is left", k.GetName())
		}
	}
}

func verified(t *testing.T, h *house, args ...string) {
	t.Helper()
	h.Stop()
	harness.Verify(t, h.driver, h.source, append([]string{"-c", h.conf}, args...)...)
}

// TestForget: nobody reads the fields of a forgotten person, through any door, on any server, and after a restart. Others' are readable.
func TestForget(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		h := start(t, driver, source)
		writer, clerk := h.as(t, "writer"), h.as(t, "clerk")
		mustAppend(t, writer, channel, event("e1", "c-1", "Annabella"), event("e2", "c-2", "Bartholomew"))
		_, sc := h.connect(t, "client")
		payload := `{"id": "c-1", "type": "Moved", "event": "m1", "name": "Annabella", "agent": 7, "agent_phone": 5550123}`
		if err := sc.Publish(people, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		// A standby has the key in memory.
		standby, address := h.launch(t, "-grpc_standby_reads")
		standby.WaitLog(t, "Standby serves reads")
		other := &house{Server: standby, address: address, driver: driver, source: source}
		if got := read(t, other.as(t, "clerk"), channel, 1); got != dataOf("c-1", "Annabella") {
			t.Errorf("the standby reads %s", got)
		}

		h.forget(t, "c-1")
		check := func(when string, c client) {
			t.Helper()
			if got := read(t, c, channel, 1); !isSealed(got, "Annabella", "annabella") {
				t.Errorf("%s: %s", when, got)
			}
			if got := read(t, c, channel, 2); got != dataOf("c-2", "Bartholomew") {
				t.Errorf("%s, somebody else: %s", when, got)
			}
			if got := read(t, c, people, 1); !isSealed(got, "Annabella") || !strings.Contains(got, `"agent_phone": 5550123`) {
				t.Errorf("%s, an event about two: %s", when, got)
			}
		}
		check("at once", clerk)
		if got := received(t, sc, people, 1)[0]; !isSealed(got, "Annabella") || !strings.Contains(got, "5550123") {
			t.Errorf("plain subscribers get %s", got)
		}
		check("on the standby", other.as(t, "clerk"))
		standby.Stop()

		// The same event again is still a duplicate. A new event of the person is readable, the old one is not.
		if resp := mustAppend(t, writer, channel, event("e1", "c-1", "Annabella")); !resp.GetDuplicate() {
			t.Error("a repeated event was stored")
		}
		mustAppend(t, writer, channel, event("e3", "c-1", "Annabella"))
		if got := read(t, clerk, channel, 3); got != dataOf("c-1", "Annabella") {
			t.Errorf("a new event: %s", got)
		}
		check("after a new event", clerk)

		// The audit says what was done, and not to whom.
		audit, err := h.admin(t).ListAudit(patient(t), &eventstorev1.ListAuditRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if e := audit.GetEntries()[0]; e.GetAction() != "forget_subject" || e.GetPrincipal() != "admin" || e.GetTarget() == "" || strings.Contains(e.String(), "c-1") {
			t.Errorf("audit: %v", e)
		}
		for who, want := range map[string]connect.Code{"clerk": connect.CodePermissionDenied, "reader": connect.CodePermissionDenied} {
			a := adminAs(t, h, who)
			if _, err := a.ForgetSubject(patient(t), &eventstorev1.ForgetSubjectRequest{Subject: "c-2"}); connect.CodeOf(err) != want {
				t.Errorf("%s: %v", who, err)
			}
			if _, err := a.ListKeys(patient(t), &eventstorev1.ListKeysRequest{}); connect.CodeOf(err) != want {
				t.Errorf("%s: %v", who, err)
			}
		}
		if _, err := h.admin(t).ForgetSubject(patient(t), &eventstorev1.ForgetSubjectRequest{Subject: "stranger"}); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("an unknown subject: %v", err)
		}
		h.Kill()
		h.Restart()
		check("after kill -9", h.as(t, "clerk"))
		verified(t, h)
	})
}

// TestBackup: a backup of the events from before a person was forgotten shows nothing; nor does one of the keys, as long as the events
// remember.
func TestBackup(t *testing.T) {
	t.Parallel()
	h := start(t, "sqlite", databases.SQLite(t))
	mustAppend(t, h.as(t, "writer"), channel, event("e1", "c-1", "Annabella"), event("e2", "c-2", "Bartholomew"))
	h.Stop()
	events, keys := h.source+".backup", h.keys+".backup"
	copyFile(t, h.source, events)
	copyFile(t, h.keys, keys)
	h.Restart()
	h.forget(t, "c-1")
	h.Stop()

	copyFile(t, keys, h.keys)
	h.Restart()
	h.WaitLog(t, "Forgot subjects again")
	if got := read(t, h.as(t, "clerk"), channel, 1); !isSealed(got, "Annabella") {
		t.Errorf("with restored keys: %s", got)
	}
	h.Stop()

	copyFile(t, events, h.source)
	h.Restart()
	if got := read(t, h.as(t, "clerk"), channel, 1); !isSealed(got, "Annabella") {
		t.Errorf("with restored events: %s", got)
	}
	if got := read(t, h.as(t, "clerk"), channel, 2); got != dataOf("c-2", "Bartholomew") {
		t.Errorf("somebody else: %s", got)
	}
}

// copyFile copies a database that nobody has open. Its log was written into it.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(to + suffix)
	}
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
