package proto

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// fields splits a valid payload into its fields.
func fields(t *testing.T, payload []byte) [][]byte {
	t.Helper()
	var parts [][]byte
	for len(payload) > 0 {
		_, _, n := protowire.ConsumeField(payload)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		parts = append(parts, payload[:n])
		payload = payload[n:]
	}
	return parts
}

// shuffled returns a payload with its fields in random order. Each scalar must occur once.
func shuffled(t *testing.T, r *rand.Rand, payload []byte) []byte {
	t.Helper()
	parts := fields(t, payload)
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func TestSameEventIgnoresOrderAndAnUnsetVersion(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	unversioned := orderApproved()
	unversioned.EventVersion = 0
	published := append(marshal(t, unversioned), bytesField(99, "a field of a later version")...)
	for range 200 {
		republished := shuffled(t, r, published)
		version := r.Uint64N(1000) + 1
		stored := AppendVersion(shuffled(t, r, published), version)
		same(t, published, republished, true)
		same(t, republished, stored, true)
		same(t, stored, AppendVersion(republished, version), true)
		same(t, stored, AppendVersion(republished, version+1), false)
	}
}

func TestSameEventSeesEveryField(t *testing.T) {
	base := marshal(t, orderApproved())
	changes := map[string]func(*eventstorev1.Event){
		"event_id":         func(m *eventstorev1.Event) { m.EventId += "x" },
		"event_type":       func(m *eventstorev1.Event) { m.EventType = "orderApproved" },
		"aggregate_id":     func(m *eventstorev1.Event) { m.AggregateId += " " },
		"aggregate_type":   func(m *eventstorev1.Event) { m.AggregateType = "" },
		"event_data":       func(m *eventstorev1.Event) { m.EventData[0] ^= 1 },
		"stream":           func(m *eventstorev1.Event) { m.Stream = "" },
		"event_version":    func(m *eventstorev1.Event) { m.EventVersion++ },
		"metadata value":   func(m *eventstorev1.Event) { m.Metadata["user"] = "bob" },
		"metadata key":     func(m *eventstorev1.Event) { m.Metadata["extra"] = "" },
		"no metadata":      func(m *eventstorev1.Event) { m.Metadata = nil },
		"occurred_at":      func(m *eventstorev1.Event) { m.OccurredAt.Nanos++ },
		"no occurred_at":   func(m *eventstorev1.Event) { m.OccurredAt = nil },
		"content_type":     func(m *eventstorev1.Event) { m.ContentType = "text/plain" },
		"a tag":            func(m *eventstorev1.Event) { m.Tags[0] += "x" },
		"no tags":          func(m *eventstorev1.Event) { m.Tags = nil },
		"an unknown field": func(m *eventstorev1.Event) { m.ProtoReflect().SetUnknown(bytesField(99, "x")) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			m := orderApproved()
			change(m)
			same(t, base, marshal(t, m), false)
		})
	}
	same(t, []byte{0x0f}, []byte{0x0f}, true)
	same(t, []byte{0x0f}, base, false)
}

func same(t *testing.T, a, b []byte, want bool) {
	t.Helper()
	if SameEvent(a, b) != want || SameEvent(b, a) != want {
		t.Errorf("%x and %x: same %v, want %v", a, b, !want, want)
	}
}

func FuzzSameEvent(f *testing.F) {
	full := marshal(f, orderApproved())
	f.Add(full, full)
	f.Add(AppendVersion(full, 0), full)
	f.Add([]byte{}, []byte{0x0f})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if !SameEvent(a, a) || !SameEvent(b, b) {
			t.Error("an event differs from itself")
		}
		if SameEvent(a, b) != SameEvent(b, a) {
			t.Error("not symmetric")
		}
		var x, y eventstorev1.Event
		if proto.Unmarshal(a, &x) == nil && proto.Unmarshal(b, &y) == nil && SameEvent(a, b) && len(x.Tags)+len(y.Tags) == 0 && !proto.Equal(&x, &y) && x.EventVersion != 0 && y.EventVersion != 0 {
			t.Error("same although a field differs")
		}
	})
}

// Who publishes an event again does so in another span, or in none.
func TestSameEventIgnoresTraceContext(t *testing.T) {
	traced := func(parent, state string) []byte {
		m := orderApproved()
		m.Metadata[traceParent], m.Metadata[traceState] = parent, state
		return marshal(t, m)
	}
	first := traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1")
	same(t, first, traced("00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00", ""), true)
	same(t, first, marshal(t, orderApproved()), true)
	none := &eventstorev1.Event{EventType: "A", AggregateId: "a"}
	only := &eventstorev1.Event{EventType: "A", AggregateId: "a", Metadata: map[string]string{traceParent: "x"}}
	same(t, marshal(t, none), marshal(t, only), true)
}
