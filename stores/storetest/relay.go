package storetest

import (
	"bytes"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func testRelays(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	ctx := testContext(t)
	if got, err := s.Relay(ctx, "ORDERS"); err != nil || got != nil {
		t.Fatalf("position %q, error %v", got, err)
	}
	long := bytes.Repeat([]byte{'1'}, 100_000) // more than a BLOB of MySQL
	for stream, position := range map[string][]byte{"ORDERS": []byte(`{"a":1}`), "orders": long} {
		for _, p := range [][]byte{[]byte("{}"), position} {
			if err := s.SaveRelay(ctx, stream, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, _ = restart(t, s, o)
	for stream, want := range map[string]string{"ORDERS": `{"a":1}`, "orders": string(long)} {
		if got, err := s.Relay(ctx, stream); err != nil || string(got) != want {
			t.Errorf("position of %s: %d bytes, want %d; error %v", stream, len(got), len(want), err)
		}
	}
	if err := s.ReleaseLease(ctx); err != nil {
		t.Fatal(err)
	}
	expectError(t, s.SaveRelay(ctx, "ORDERS", nil), stores.ErrFenced)
}
