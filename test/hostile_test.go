package test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go/pb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// hostile is an unusual message and the expected answer.
type hostile struct {
	name    string
	channel string // default: orders
	reply   string
	payload []byte
	want    string // in the error of the PubAck; "" if it is stored
	data    form   // of event_data, if it is stored
}

// form is how event_data is stored.
type form int

const (
	unchecked  form = iota
	asJSON          // the published JSON, as far as the database preserves it
	asBase64        // a JSON string with the base64
	asNull          // NULL
	byDatabase      // either of the first two: databases differ
)

// TestHostileInput: each kind of bad input gets its answer, the rest of its batch is stored, and unusual input is stored
// and replayed byte for byte.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	all := hostiles()
	if len(all) < 100 {
		t.Fatalf("only %d kinds", len(all))
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-store_timeout", patience.String()) // a slow database must not matter
		publish(t, s.connect("first"), orders, event(t, "first", "First"))
		cl := wire.Dial(t, s.URL()).Register("hostile")
		answers := answersOf(t, cl)
		sent := map[string]int{} // kinds by GUID
		for i, h := range all {
			if h.channel == "" {
				h.channel = orders
			}
			guid := fmt.Sprint("kind-", i)
			sent[guid] = i
			answers.send(&pb.PubMsg{Guid: guid, Subject: h.channel, Reply: h.reply, Data: all[i].unique(i)})
			// A good message follows each bad one, mostly in the same batch.
			answers.send(&pb.PubMsg{Guid: fmt.Sprint("good-", i), Subject: orders, Data: event(t, fmt.Sprint("good-", i), "Good")})
		}
		got := answers.collect(2 * len(all))
		payloads := [][]byte{nil} // of messages on orders, where one is already stored
		var forms []form
		for i, h := range all {
			text, ok := got[fmt.Sprint("kind-", i)]
			switch {
			case !ok:
				t.Errorf("%s: no answer", h.name)
			case h.want == "" && text != "":
				t.Errorf("%s: refused: %s", h.name, text)
			case h.want != "" && (!strings.Contains(text, h.want) || strings.ContainsAny(text, "\r\n")):
				t.Errorf("%s: answer %q, want %q", h.name, text, h.want)
			}
			if text == "" && h.channel == "" {
				payloads, forms = append(payloads, h.unique(i)), append(forms, h.data)
			}
			if text := got[fmt.Sprint("good-", i)]; text != "" {
				t.Errorf("the good event after %q was refused: %s", h.name, text)
			}
			payloads, forms = append(payloads, nil), append(forms, unchecked)
		}
		contiguous(t, driver, source, orders, len(payloads))

		documents := query(t, driver, source, "SELECT event_data FROM events WHERE channel = '"+orders+"' ORDER BY sequence")[1:]
		sub := cl.Sub(orders, wire.All, wire.Max(1<<16))
		sub.Next()
		for i, want := range payloads[1:] {
			m := sub.Next()
			if want == nil {
				continue
			}
			if !strings.HasPrefix(string(m.Data), string(want)) || len(m.Data) > len(want)+11 {
				t.Errorf("message %d differs from what was published", m.Sequence)
				continue
			}
			data := ""
			for b := want; len(b) > 0; {
				n, typ, size := protowire.ConsumeTag(b)
				value := b[size:]
				b = b[size+protowire.ConsumeFieldValue(n, typ, value):]
				if n == eventData && typ == protowire.BytesType {
					v, _ := protowire.ConsumeBytes(value)
					data = string(v)
				}
			}
			base := documents[i] == `"`+base64.StdEncoding.EncodeToString([]byte(data))+`"`
			if null := documents[i] == "<null>"; forms[i] == asNull && !null || forms[i] == asJSON && (null || base) || forms[i] == asBase64 && !base {
				t.Errorf("message %d: event_data %.40q is stored as %.40q", m.Sequence, data, documents[i])
			}
		}
		// The server still works.
		s.Stop()
		s.Restart()
		publish(t, s.connect("last"), orders, event(t, "last", "Last"))
		contiguous(t, driver, source, orders, len(payloads)+1)
	})
}

// TestLargestMessages: a message too large to be delivered within NATS' limit is refused with a clear error. The largest
// one below the limit is stored and delivered.
func TestLargestMessages(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		cl := wire.Dial(t, s.URL()).Register("large")
		limit := int(cl.MaxPayload())
		// of returns an event that has the given size when it is delivered.
		of := func(size int) []byte {
			overhead := len(orders) + 53
			payload := whole(field(eventData, strings.Repeat("x", size-overhead-len(whole())-4)))
			if len(payload)+overhead != size {
				t.Fatalf("%d bytes, want %d", len(payload)+overhead, size)
			}
			return payload
		}
		answers := answersOf(t, cl)
		for i, size := range []int{limit + 1, limit, limit + 2, limit - 1, limit + 10} {
			answers.send(&pb.PubMsg{Guid: fmt.Sprint(i), Subject: orders, Data: of(size)})
			answers.send(&pb.PubMsg{Guid: fmt.Sprint("good-", i), Subject: orders, Data: event(t, fmt.Sprint("good-", i), "Good")})
		}
		got := answers.collect(10)
		tooLarge := "stan: message is too large to be delivered within the NATS max_payload"
		want := map[string]string{"0": tooLarge, "1": "", "2": tooLarge, "3": "", "4": tooLarge, "good-0": "", "good-1": "", "good-2": "", "good-3": "", "good-4": ""}
		if !maps.Equal(got, want) {
			t.Errorf("answers %q, want %q", got, want)
		}
		sub := cl.Sub(orders, wire.All)
		lengths := map[int]bool{}
		for range 7 {
			lengths[len(sub.Next().Data)/1000] = true
		}
		if len(lengths) != 2 {
			t.Errorf("lengths %v", lengths)
		}
		contiguous(t, driver, source, orders, 7)
		// The client does not send a message above NATS' limit.
		if err := cl.Conn.Conn.Publish("x", make([]byte, limit+1)); err == nil {
			t.Error("NATS accepted a message above its limit")
		}
	})
}

// TestAsLargeAsNATSTakes: what a client library can publish within max_payload is stored, delivered, and delivered again.
func TestAsLargeAsNATSTakes(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	cl := wire.Dial(t, s.URL()).Register("a")
	limit := int(cl.MaxPayload())
	for _, below := range []int{0, 1, 12, 23, 24, 25} {
		channel := fmt.Sprint("below", below)
		m := &pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Guid: nuid.Next(), Subject: channel, Data: make([]byte, limit-below)}
		m.Data = m.Data[:2*len(m.Data)-len(wire.Encode(t, m))]
		if n := len(wire.Encode(t, m)); n != limit-below {
			t.Fatalf("the request has %d bytes, want %d", n, limit-below)
		}
		if text := cl.Publish(m); text != "" {
			t.Errorf("%d bytes below max_payload: %s", below, text)
			continue
		}
		sub := cl.Sub(channel, wire.All, wire.AckWait(1))
		for _, redelivered := range []bool{false, true} {
			if got := sub.Next(); len(got.Data) != len(m.Data) || got.Redelivered != redelivered {
				t.Errorf("%d bytes below max_payload: %d bytes, redelivered %v", below, len(got.Data), got.Redelivered)
			}
		}
	}
}

// answers publishes without waiting and collects the answers.
type answers struct {
	t     *testing.T
	cl    *wire.Client
	inbox string
	in    chan *nats.Msg
}

func answersOf(t *testing.T, cl *wire.Client) *answers {
	t.Helper()
	a := &answers{t: t, cl: cl, inbox: nats.NewInbox(), in: make(chan *nats.Msg, 1<<14)}
	if _, err := cl.ChanSubscribe(a.inbox, a.in); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *answers) send(m *pb.PubMsg) {
	a.t.Helper()
	m.ClientID, m.ConnID = a.cl.ID, []byte(a.cl.ConnID)
	// NATS cannot carry some channel names in a subject. Their messages go to another subject; the name is in the
	// message.
	subject := wire.Publish + "." + m.Subject
	if strings.ContainsAny(m.Subject, "*>") || strings.HasPrefix(m.Subject, ".") || strings.HasSuffix(m.Subject, ".") || strings.Contains(m.Subject, "..") {
		subject = wire.Publish + ".x"
	}
	if err := a.cl.PublishRequest(subject, a.inbox, wire.Encode(a.t, m)); err != nil {
		a.t.Fatal(err)
	}
}

// collect returns the errors of the next n answers by GUID.
func (a *answers) collect(n int) map[string]string {
	a.t.Helper()
	got := map[string]string{}
	deadline := time.After(patience)
	for len(got) < n {
		select {
		case m := <-a.in:
			var ack pb.PubAck
			if err := ack.Unmarshal(m.Data); err != nil {
				a.t.Fatal(err)
			}
			if _, answered := got[ack.Guid]; answered {
				a.t.Errorf("two answers to %s", ack.Guid)
			}
			got[ack.Guid] = ack.Error
		case <-deadline:
			a.t.Errorf("%d of %d answers", len(got), n)
			return got
		}
	}
	return got
}
