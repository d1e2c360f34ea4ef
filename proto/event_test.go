package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func marshal(t testing.TB, m *eventstorev1.Event) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func orderApproved() *eventstorev1.Event {
	return &eventstorev1.Event{
		EventId:       "5f0c1f0e-8a57-4a1c-9a0b-2f3c7d0e9b11",
		EventType:     "OrderApproved",
		AggregateId:   "order-17",
		AggregateType: "Order",
		EventData:     []byte(`{"order":"order-17","approver":"Zoë","items":[{"sku":"a-1","qty":2,"price":12.50}]}`),
		Stream:        "orders",
		EventVersion:  3,
		Metadata:      map[string]string{"user": "ann", "correlation_id": "c-9", "note": "a \"quoted\"\nline"},
		OccurredAt:    &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 5},
		ContentType:   "application/json",
		Tags:          []string{"customer:c-9", "region:eu"},
	}
}

func bytesField(num protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), v)
}

// occurred returns an encoded occurred_at.
func occurred(seconds int64, nanos int32) []byte {
	v := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(seconds))
	v = protowire.AppendVarint(protowire.AppendTag(v, 2, protowire.VarintType), uint64(int64(nanos)))
	return bytesField(9, string(v))
}

// required returns an event with only the required fields.
func required() []byte {
	return append(bytesField(2, "OrderCreated"), bytesField(3, "order-1")...)
}

func with(parts ...[]byte) []byte {
	return append(required(), bytes.Join(parts, nil)...)
}

func TestExtract(t *testing.T) {
	payload := marshal(t, orderApproved())
	ev, err := Extract(payload)
	if err != nil {
		t.Fatal(err)
	}
	data := ev.Data
	ev.Data = nil
	metadata := string(ev.Metadata)
	ev.Metadata = nil
	if ev.ID != "5f0c1f0e-8a57-4a1c-9a0b-2f3c7d0e9b11" || ev.Type != "OrderApproved" ||
		ev.AggregateID != "order-17" || ev.AggregateType != "Order" || ev.Version != 3 {
		t.Errorf("columns: %+v", ev)
	}
	if want := `{"correlation_id":"c-9","note":"a \"quoted\"\nline","user":"ann"}`; metadata != want {
		t.Errorf("metadata %s, want %s", metadata, want)
	}
	if !slices.Equal(ev.Tags, orderApproved().Tags) {
		t.Errorf("tags %q", ev.Tags)
	}
	if !bytes.Equal(data, orderApproved().EventData) || cap(data) != len(data) {
		t.Errorf("data %q, capacity %d", data, cap(data))
	}
}

func TestExtractErrors(t *testing.T) {
	long := strings.Repeat("x", MaxIdentifier+1)
	entry := func(k, v string) []byte {
		return bytesField(8, string(append(bytesField(1, k), bytesField(2, v)...)))
	}
	tests := map[string]struct {
		payload []byte
		want    string // the error's text; empty: none
	}{
		"required only":            {required(), ""},
		"empty":                    {nil, "invalid event: aggregate_id is missing"},
		"no type":                  {bytesField(3, "order-1"), "invalid event: event_type is missing"},
		"no aggregate":             {bytesField(2, "OrderCreated"), "invalid event: aggregate_id is missing"},
		"emptied type":             {with(bytesField(2, "")), "invalid event: event_type is missing"},
		"255 bytes":                {with(bytesField(3, long[1:])), ""},
		"256 bytes":                {with(bytesField(3, long)), "invalid event: aggregate_id is longer than 255 bytes"},
		"long, then replaced":      {with(bytesField(3, long), bytesField(3, "order-2")), ""},
		"long type":                {with(bytesField(2, long)), "invalid event: event_type is longer than 255 bytes"},
		"long id":                  {with(bytesField(1, long)), "invalid event: event_id is longer than 255 bytes"},
		"long aggregate type":      {with(bytesField(4, long)), "invalid event: aggregate_type is longer than 255 bytes"},
		"long stream":              {with(bytesField(6, long)), ""},
		"NUL in id":                {with(bytesField(1, "a\x00")), "invalid event: event_id contains a NUL byte"},
		"NUL in type":              {with(bytesField(2, "\x00")), "invalid event: event_type contains a NUL byte"},
		"NUL in metadata":          {with(entry("k", "\x00")), "invalid event: metadata contains a NUL byte"},
		"NUL in metadata key":      {with(entry("\x00", "v")), "invalid event: metadata contains a NUL byte"},
		"long metadata key":        {with(entry(strings.Repeat("k", MaxJSONKey+1), "v")), "invalid event: metadata has a key longer than 65535 bytes"},
		"bad UTF-8 in aggregate":   {with(bytesField(3, "\xff")), "invalid event: aggregate_id is not valid UTF-8"},
		"bad UTF-8, then replaced": {with(bytesField(3, "\xff"), bytesField(3, "order-2")), "invalid event: aggregate_id is not valid UTF-8"},
		"bad UTF-8 in stream":      {with(bytesField(6, "\xc0\x80")), "invalid event: stream is not valid UTF-8"},
		"bad UTF-8 in metadata":    {with(entry("k", "\xed\xa0\x80")), "invalid event: metadata is not valid UTF-8"},
		"bad UTF-8 in data":        {with(bytesField(5, "\xff\x00")), ""},
		"greatest version":         {AppendVersion(required(), math.MaxInt64), ""},
		"version too great":        {AppendVersion(required(), math.MaxInt64+1), "invalid event: event_version is out of range"},
		"version as bytes":         {with(bytesField(7, "x")), ""},
		"cut off":                  {with([]byte{0x2a, 5, 'a'}), "invalid event: not an eventstore.v1.Event: field 5 is truncated at byte 24"},
		"cut off tag":              {with([]byte{0x80}), "invalid event: not an eventstore.v1.Event: truncated at byte 23"},
		"field number 0":           {[]byte{0, 0}, "invalid event: not an eventstore.v1.Event: malformed at byte 0"},
		"reserved wire type":       {[]byte{0x0f}, "invalid event: not an eventstore.v1.Event: field 1 is malformed at byte 1"},
		"stray end of group":       {with([]byte{0x0c}), "invalid event: not an eventstore.v1.Event: field 1 is malformed at byte 24"},
		"cut off in occurred_at":   {with(bytesField(9, "\x08")), "invalid event: not an eventstore.v1.Event: occurred_at is truncated at byte 26"},
		"seconds twice":            {with(bytesField(9, "\x08\x80\x80\x80\x80\x80\x80\x80\x40"), bytesField(9, "\x08\x01")), ""},
		"after the year 9999":      {with(occurred(253402300800, 0)), "invalid event: occurred_at is out of range"},
		"end of the year 9999":     {with(occurred(253402300799, 999_999_999)), ""},
		"before the year 1":        {with(occurred(-62135596801, 0)), "invalid event: occurred_at is out of range"},
		"a second of nanoseconds":  {with(occurred(0, 1_000_000_000)), "invalid event: occurred_at is out of range"},
		"negative nanoseconds":     {with(occurred(5, 0), occurred(0, -1)), "invalid event: occurred_at is out of range"},
		"cut off in metadata":      {with(bytesField(8, "\x0a\x02k")), "invalid event: not an eventstore.v1.Event: metadata is truncated at byte 26"},
		"text":                     {[]byte("hello, world"), "invalid event: not an eventstore.v1.Event: field 13 is malformed at byte 3"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Extract(tt.payload)
			switch {
			case err == nil && tt.want == "":
			case err == nil || err.Error() != tt.want:
				t.Errorf("error %v, want %q", err, tt.want)
			case !errors.Is(err, ErrInvalid):
				t.Errorf("%T is not ErrInvalid", err)
			}
		})
	}
	if _, err := Extract(nil); !errors.Is(err, ErrNoAggregateID) {
		t.Errorf("error %v", err)
	}
}

// extractSlowly implements Extract with proto.Unmarshal.
func extractSlowly(payload []byte) (Event, map[string]string, bool) {
	var m eventstorev1.Event
	if proto.Unmarshal(payload, &m) != nil {
		return Event{}, nil, false
	}
	ev := Event{
		ID: m.EventId, Type: m.EventType, AggregateID: m.AggregateId, AggregateType: m.AggregateType,
		Version: m.EventVersion, Data: m.EventData, Tags: Tags(m.Tags),
	}
	ok := ev.Type != "" && ev.AggregateID != "" && ev.Version <= math.MaxInt64 && (m.OccurredAt == nil || m.OccurredAt.IsValid())
	for _, s := range []string{ev.ID, ev.Type, ev.AggregateID, ev.AggregateType} {
		ok = ok && len(s) <= MaxIdentifier && !strings.ContainsRune(s, 0)
	}
	for k, v := range m.Metadata {
		ok = ok && !strings.ContainsRune(k+v, 0) && len(k) <= MaxJSONKey
	}
	return ev, m.Metadata, ok
}

// distinct returns the tags in a valid payload, each once.
func distinct(payload []byte) []string {
	var m eventstorev1.Event
	_ = proto.Unmarshal(payload, &m) // decoded before
	var tags []string
	for _, tag := range m.Tags {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}

func FuzzExtract(f *testing.F) {
	full := marshal(f, orderApproved())
	f.Add(full)
	f.Add(append(full, full...))
	f.Add(required())
	f.Add(with(bytesField(8, ""), bytesField(8, "\x0a\x01k\x12\x01a"), bytesField(8, "\x12\x01b\x0a\x01k\x12\x01c")))
	f.Add(with(bytesField(8, "\x08\x01\x1a\x01x\x0a\x01\xff")))
	f.Add(with(bytesField(8, "\x0b\x0c"), bytesField(8, "\x0b\x14")))
	f.Add(with(bytesField(9, "\x08\x96\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")))
	f.Add(with(bytesField(9, "\x0a\x01x"), bytesField(9, "\x0c")))
	f.Add(with([]byte{0x0b, 0x0a, 1, 'x', 0x0c}))                                                 // field 1 as a group
	f.Add(with([]byte{0x08, 1, 0x38, 0x80, 0x80, 0x00}))                                          // field 1 as varint, padded version
	f.Add(with([]byte{0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}))         // overflowing varint
	f.Add(with([]byte{0x3d, 1, 2, 3, 4, 0x39, 1, 2, 3, 4, 5, 6, 7, 8}))                           // version as fixed32, fixed64
	f.Add(with([]byte{0xf8, 0xff, 0xff, 0xff, 0x0f, 1}))                                          // greatest field number
	f.Add(with([]byte{0x80, 0x80, 0x80, 0x80, 0x10, 1}))                                          // one more
	f.Add(with([]byte{0x8a, 0x00, 1, 'x', 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0})) // padded tags
	f.Add(with(bytesField(1, "\xf4\x90\x80\x80"), bytesField(1, "ok")))
	f.Add(with(bytesField(6, "\xff"), bytesField(10, "\xff")))
	f.Add(with(bytesField(11, "a"), bytesField(11, "b\x00"), bytesField(11, ""), bytesField(11, "a"), []byte{0x58, 1}))
	f.Add(with(bytesField(11, "\xff")))
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		got, err := Extract(payload)
		want, metadata, ok := extractSlowly(payload)
		if (err == nil) != ok {
			t.Fatalf("error %v, want an error: %v", err, !ok)
		}
		if !bytes.Equal(payload, before) {
			t.Fatal("Extract changed the payload")
		}
		if !ok {
			return
		}
		if got.ID != want.ID || got.Type != want.Type || got.AggregateID != want.AggregateID ||
			got.AggregateType != want.AggregateType || got.Version != want.Version || !bytes.Equal(got.Data, want.Data) || !slices.Equal(got.Tags, want.Tags) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		checkObject(t, got.Metadata, metadata)
		fresh, err := ExtractNew(payload)
		if clean := slices.Equal(distinct(payload), got.Tags); len(metadata) < MaxMetadata && (err == nil) != clean {
			t.Errorf("new: %v, tags %q", err, distinct(payload))
		} else if err == nil && !slices.Equal(fresh.Tags, got.Tags) {
			t.Errorf("new: tags %q, stored: %q", fresh.Tags, got.Tags)
		}
	})
}

// checkObject checks that a JSON object equals want and that its keys are sorted and unique.
func checkObject(t *testing.T, object []byte, want map[string]string) {
	t.Helper()
	if len(want) == 0 {
		if object != nil {
			t.Errorf("metadata %q, want none", object)
		}
		return
	}
	var got map[string]string
	if err := json.Unmarshal(object, &got); err != nil {
		t.Fatalf("metadata %q: %v", object, err)
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	n, last := 0, ""
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		value, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		k := key.(string)
		if n > 0 && k <= last {
			t.Errorf("metadata key %q after %q", k, last)
		}
		if v, ok := want[k]; !ok || v != value {
			t.Errorf("metadata %q: %q, want %q", k, value, v)
		}
		n, last = n+1, k
	}
	if n != len(want) {
		t.Errorf("metadata has %d keys, want %d", n, len(want))
	}
}

func FuzzAppendVersion(f *testing.F) {
	f.Add(marshal(f, orderApproved()), uint64(4))
	f.Add(required(), uint64(0))
	f.Add([]byte{}, uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, payload []byte, version uint64) {
		room := append(bytes.Clone(payload), "unchanged"...)
		got := AppendVersion(room[:len(payload)], version)
		if !bytes.Equal(room, append(bytes.Clone(payload), "unchanged"...)) {
			t.Fatal("AppendVersion wrote past the end of the payload")
		}
		var before, after eventstorev1.Event
		if proto.Unmarshal(payload, &before) != nil {
			return
		}
		if err := proto.Unmarshal(got, &after); err != nil {
			t.Fatal(err)
		}
		before.EventVersion = version
		if !proto.Equal(&before, &after) {
			t.Errorf("got %v, want %v", &after, &before)
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	plain := orderApproved()
	plain.Metadata, plain.Tags = nil, nil
	plain.EventData = bytes.Repeat([]byte("x"), 400)
	for name, payload := range map[string][]byte{
		"plain":    marshal(b, plain),
		"metadata": marshal(b, orderApproved()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				if _, err := Extract(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/unmarshal", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				if _, _, ok := extractSlowly(payload); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}
