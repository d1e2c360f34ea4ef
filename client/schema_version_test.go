package eventstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Two schema versions of one event type: the older has one amount for goods and postage.
type (
	orderBilled1 struct{ Cents int64 }
	orderBilled2 struct{ Goods, Postage int64 }
)

func billing() *eventstore.Registry {
	r := eventstore.NewRegistry()
	eventstore.Register[orderBilled1](r, "OrderBilled")
	eventstore.Register[orderBilled2](r, "OrderBilled", eventstore.SchemaVersion(2))
	eventstore.Upcast(r, func(old orderBilled1) (orderBilled2, error) { return orderBilled2{Goods: old.Cents}, nil })
	return r
}

// The schema version is in the metadata. The type is the same for all versions.
func TestSchemaVersionIsMetadata(t *testing.T) {
	t.Parallel()
	for version, data := range map[string]any{"": orderBilled1{900}, "2": orderBilled2{Goods: 900}} {
		event, err := billing().New("Order", "o-1", data)
		if err != nil {
			t.Fatal(err)
		}
		if got := event.Metadata[eventstore.MetadataSchemaVersion]; event.Type != "OrderBilled" || got != version {
			t.Errorf("%#v has type %q and schema version %q, want OrderBilled and %q", data, event.Type, got, version)
		}
		stored := &eventstore.Event{Type: event.Type, Payload: event.Payload, Metadata: event.Metadata}
		if err := billing().Decode(stored); err != nil || stored.Data != (orderBilled2{Goods: 900}) {
			t.Errorf("%#v is decoded as %#v, error %v", data, stored.Data, err)
		}
	}
}

// A program that is older than an event's schema says so, also if it knows the event's type.
func TestSchemaVersionUnknown(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"3": `unknown event type: "OrderBilled" of schema version 3, sequence 7 of channel "c": a newer program stored it; this one knows the versions up to 2`,
		"0": `schema_version "0": must be a positive integer`,
		"x": `schema_version "x": must be a positive integer`,
	} {
		e := &eventstore.Event{Type: "OrderBilled", Channel: "c", Sequence: 7, Payload: []byte(`{}`), Metadata: map[string]string{"schema_version": version}}
		_, err := billing().Expand(e)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("schema version %s: error %v, want %s", version, err, want)
		}
		if errors.Is(err, eventstore.ErrUnknownType) != (version == "3") {
			t.Errorf("schema version %s: error %v", version, err)
		}
	}
}

// An event's ID is its key. Without one, its place is.
func TestEventKey(t *testing.T) {
	t.Parallel()
	if key := (&eventstore.Event{ID: "order-1/1", Channel: "c", Sequence: 3}).Key(); key != "order-1/1" {
		t.Errorf("key %q", key)
	}
	if key := (&eventstore.Event{Channel: "c", Sequence: 3}).Key(); key != "c/3" {
		t.Errorf("key %q", key)
	}
}

type (
	cartClosed struct{ Items []string }
	itemSold   struct{ Item string }
)

// Several events stand for one, with keys of their own; or none.
func TestUpcastMany(t *testing.T) {
	t.Parallel()
	r := eventstore.NewRegistry()
	eventstore.Register[cartClosed](r, "CartClosed")
	eventstore.UpcastMany(r, func(old cartClosed) ([]any, error) {
		if len(old.Items) > 3 {
			return nil, errors.New("too many")
		}
		var sold []any
		for _, it := range old.Items {
			sold = append(sold, itemSold{it})
		}
		return sold, nil
	})
	for payload, want := range map[string]string{
		`{"Items": []}`:             `[]`,
		`{"Items": ["a"]}`:          `[c/5={a}]`,
		`{"Items": ["a","b","c"]}`:  `[c/5={a} c/5#2={b} c/5#3={c}]`,
		`{"Items": [1]}`:            `decode "CartClosed", sequence 5 of channel "c"`,
		`{"Items": ["","","",""]} `: `upcast "CartClosed", sequence 5 of channel "c": too many`,
	} {
		e := &eventstore.Event{Type: "CartClosed", Channel: "c", Sequence: 5, Payload: []byte(payload)}
		for range 2 { // expanding is repeatable
			events, err := r.Expand(e)
			got := make([]string, len(events))
			for i, part := range events {
				got[i] = fmt.Sprintf("%s=%v", part.Key(), part.Data)
				if again, err := r.Expand(part); err != nil || len(again) != 1 || len(events) > 1 && again[0] != part {
					t.Errorf("%s: expanding a part gave %v, error %v", payload, again, err)
				}
			}
			if text := fmt.Sprint(got); err == nil && text != want || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %s, error %v, want %s", payload, text, err, want)
			}
		}
		if err := r.Decode(e); (err == nil) != strings.HasPrefix(want, "[c/5={a}]") {
			t.Errorf("%s: Decode returned %v", payload, err)
		}
	}
}
