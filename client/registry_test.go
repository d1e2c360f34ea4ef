package eventstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

type (
	depositedFloat struct{ Amount float64 }
	deposited      struct {
		Cents    int64
		Currency string
	}
	depositedCents struct{ Cents int64 }
)

func (d depositedFloat) Tags() []string { return []string{fmt.Sprint("amount:", d.Amount)} }

func registry() *eventstore.Registry {
	r := eventstore.NewRegistry()
	eventstore.Register[depositedFloat](r, "Deposited")
	eventstore.Register[depositedCents](r, "DepositedCents")
	eventstore.Register[deposited](r, "DepositedMoney")
	eventstore.Register[*eventstorev1.Event](r, "Nested")
	eventstore.Upcast(r, func(d depositedFloat) (depositedCents, error) {
		if d.Amount < 0 {
			return depositedCents{}, errors.New("negative")
		}
		return depositedCents{Cents: int64(d.Amount*100 + 0.5)}, nil
	})
	eventstore.Upcast(r, func(d depositedCents) (deposited, error) { return deposited{d.Cents, "EUR"}, nil })
	return r
}

// Upcasters chain: old events arrive as the latest type.
func TestUpcast(t *testing.T) {
	t.Parallel()
	r := registry()
	for kind, payload := range map[string]string{
		"Deposited":      `{"Amount": 12.34}`,
		"DepositedCents": `{"Cents": 1234}`,
		"DepositedMoney": `{"Cents": 1234, "Currency": "EUR"}`,
	} {
		e := &eventstore.Event{Type: kind, Payload: []byte(payload)}
		if err := r.Decode(e); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if want := (deposited{1234, "EUR"}); e.Data != want {
			t.Errorf("decoded %s as %#v, want %#v", kind, e.Data, want)
		}
	}
	if err := r.Decode(&eventstore.Event{Type: "Deposited", Payload: []byte(`{"Amount": -1}`)}); err == nil {
		t.Error("Decode dropped an upcaster's error")
	}
	if err := r.Decode(&eventstore.Event{Type: "Deposited", Payload: []byte(`{`)}); err == nil {
		t.Error("Decode accepted data that is not JSON")
	}
	if err := r.Decode(&eventstore.Event{Type: "Withdrawn"}); !errors.Is(err, eventstore.ErrUnknownType) {
		t.Errorf("unknown type: error %v, want ErrUnknownType", err)
	}
}

func TestUpcastCycle(t *testing.T) {
	t.Parallel()
	r := eventstore.NewRegistry()
	eventstore.Register[depositedFloat](r, "Deposited")
	eventstore.Upcast(r, func(d depositedFloat) (depositedCents, error) { return depositedCents{}, nil })
	eventstore.Upcast(r, func(d depositedCents) (depositedFloat, error) { return depositedFloat{}, nil })
	if err := r.Decode(&eventstore.Event{Type: "Deposited", Payload: []byte(`{}`)}); err == nil {
		t.Error("Decode accepted a cycle of upcasters")
	}
}

func TestRegistryEncodes(t *testing.T) {
	t.Parallel()
	r := registry()
	if event, err := r.New("Account", "a", depositedFloat{7}); err != nil || len(event.Tags) != 1 || event.Tags[0] != "amount:7" {
		t.Errorf("tags %q, error %v", event.Tags, err)
	}
	message := &eventstorev1.Event{EventType: "inner", EventData: []byte{0xff}}
	wire, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range []struct {
		data              any
		kind, contentType string
		payload           []byte
	}{
		{deposited{5, "EUR"}, "DepositedMoney", eventstore.ContentTypeJSON, []byte(`{"Cents":5,"Currency":"EUR"}`)},
		{message, "Nested", eventstore.ContentTypeProtobuf, wire},
	} {
		event, err := r.New("Account", "a", it.data)
		if err != nil {
			t.Fatal(err)
		}
		if event.Type != it.kind || event.ContentType != it.contentType || !bytes.Equal(event.Payload, it.payload) {
			t.Errorf("encoded %#v as %+v", it.data, event)
		}
		e := &eventstore.Event{Type: event.Type, Payload: event.Payload}
		if err := r.Decode(e); err != nil {
			t.Fatal(err)
		}
		if decoded, ok := e.Data.(proto.Message); ok {
			if !proto.Equal(decoded, message) {
				t.Errorf("decoded as %v, want %v", e.Data, message)
			}
		} else if e.Data != it.data {
			t.Errorf("decoded as %#v, want %#v", e.Data, it.data)
		}
	}
	if _, err := r.New("Account", "a", struct{}{}); !errors.Is(err, eventstore.ErrUnknownType) {
		t.Errorf("unknown type: error %v, want ErrUnknownType", err)
	}
}

func TestRegisterTwice(t *testing.T) {
	t.Parallel()
	for name, registerTwice := range map[string]func(*eventstore.Registry){
		"name": func(r *eventstore.Registry) { eventstore.Register[struct{}](r, "Deposited") },
		"type": func(r *eventstore.Registry) { eventstore.Register[deposited](r, "Other") },
		"upcaster": func(r *eventstore.Registry) {
			eventstore.Upcast(r, func(depositedCents) (struct{}, error) { return struct{}{}, nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			registerTwice(registry())
		})
	}
}

// TestRegisterUnexportedField: a type of event that JSON would store without a field is refused at the start of the program. A type that
// encodes itself and a field with the tag "-" are not.
func TestRegisterUnexportedField(t *testing.T) {
	t.Parallel()
	type inner struct{ cents int64 }
	type line struct{ Of map[string][]*inner }
	_ = inner{cents: 1}
	for name, register := range map[string]func(*eventstore.Registry){
		"inner.cents":   func(r *eventstore.Registry) { eventstore.Register[inner](r, "T") },
		"line.Of.cents": func(r *eventstore.Registry) { eventstore.Register[*line](r, "T") },
		"struct.inner":  func(r *eventstore.Registry) { eventstore.Register[struct{ inner int }](r, "T") },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, name[strings.Index(name, "."):]+": export it") {
					t.Errorf("%s: %s", name, text)
				}
			}()
			register(eventstore.NewRegistry())
		}()
	}
	type embedded struct{ Cents int64 }
	eventstore.Register[struct {
		embedded
		At   time.Time
		Memo inner `json:"-"`
	}](eventstore.NewRegistry(), "T")
}

func ExampleRegister() {
	type OrderPlaced struct{ Cents int64 }
	r := eventstore.NewRegistry()
	eventstore.Register[OrderPlaced](r, "OrderPlaced")
	event, err := r.New("Order", "order-1", OrderPlaced{Cents: 900})
	fmt.Println(event.Type, string(event.Payload), err)
	// Output: OrderPlaced {"Cents":900} <nil>
}

// Stored events keep their form. Readers get the latest one.
func ExampleUpcast() {
	type OrderPlacedV1 struct{ Euros int64 }
	type OrderPlaced struct{ Cents int64 }
	registry := eventstore.NewRegistry()
	eventstore.Register[OrderPlacedV1](registry, "OrderPlaced")
	eventstore.Register[OrderPlaced](registry, "OrderPlaced", eventstore.SchemaVersion(2))
	eventstore.Upcast(registry, func(old OrderPlacedV1) (OrderPlaced, error) {
		return OrderPlaced{Cents: old.Euros * 100}, nil
	})
	event := &eventstore.Event{Type: "OrderPlaced", Payload: []byte(`{"Euros":9}`)}
	err := registry.Decode(event)
	fmt.Println(event.Data, err)
	// Output: {900} <nil>
}
