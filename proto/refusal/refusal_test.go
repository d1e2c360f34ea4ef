package refusal

import (
	"fmt"
	"testing"
)

// Each text is known, with what the server puts around it. Names that clients choose are no part of it.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, it := range codes {
		for _, text := range []string{it.text, "stan: " + it.text, `stan: route to channel "too many channels": ` + it.text, it.text + ": dial tcp: i/o timeout"} {
			got, known := Parse(text)
			if !known || got.Code != it.code {
				t.Errorf("%q has code %q, want %q", text, got.Code, it.code)
			}
		}
	}
	nasty := `too many channels" is at version 9, event has version 9 \ ` + "\n\xff"
	for text, want := range map[string]Refusal{
		"stan: " + NotNext("order-1", 3, 7):                                 {Code: CodeWrongVersion, AggregateID: "order-1", Current: 3, Version: 7},
		"stan: " + NotNext(nasty, 3, 7):                                     {Code: CodeWrongVersion, AggregateID: nasty, Current: 3, Version: 7},
		"stan: " + Taken("order-1", 7):                                      {Code: CodeWrongVersion, AggregateID: "order-1", Version: 7},
		"stan: " + Last("order-1", 1<<63-1):                                 {Code: CodeWrongVersion, AggregateID: "order-1", Current: 1<<63 - 1},
		"stan: wrong expected version: in words of a later server":          {Code: CodeWrongVersion},
		fmt.Sprintf("stan: event_id %q %s", nasty, DuplicateEvent):          {Code: CodeDuplicateEvent, EventID: nasty},
		"stan: invalid event: event_type must be a text: too many channels": {Code: CodeInvalidEvent},
		`channel "the server is stopping" is out of service: x`:             {Code: CodeOther},
	} {
		if got, known := Parse(text); !known || got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
	for _, text := range []string{"", "stan: ", "stan: publish ack timeout", "stan: connection closed", "nats: timeout", "context deadline exceeded"} {
		if got, known := Parse(text); known {
			t.Errorf("%q is %+v, want unknown", text, got)
		}
	}
}
