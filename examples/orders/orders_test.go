package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	envelope "github.com/nats-eventstore/nats-eventstore/proto"
)

func TestOrderEventSteps(t *testing.T) {
	types := []string{"OrderCreated", "OrderApproved", "OrderShipped", "OrderCompleted"}
	ids := make(map[string]bool)
	for n := range 10 {
		event, err := orderEvent("test", n)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := proto.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		got, err := envelope.Extract(payload)
		if err != nil {
			t.Fatal(err)
		}
		order := []string{"order-test-1", "order-test-2", "order-test-3"}[n/steps]
		if got.Type != types[n%steps] || got.AggregateID != order || got.AggregateType != "Order" || got.Version != 0 {
			t.Errorf("event %d: %+v", n, got)
		}
		if !json.Valid(got.Data) {
			t.Errorf("event %d: data %s", n, got.Data)
		}
		if ids[got.ID] {
			t.Errorf("event %d: event_id %s is not unique", n, got.ID)
		}
		ids[got.ID] = true
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"", 2, "usage: orders"},
		{"foo", 2, `unknown command "foo"`},
		{"help", 0, "usage: orders"},
		{"publish -h", 0, "-expect"},
		{"publish -n 0", 2, "at least 1"},
		{"publish extra", 2, `unexpected argument "extra"`},
		{"replay -from x", 2, "-from"},
		{"replay -from 0", 2, "at least 1"},
		{"tail -durable d", 2, "-durable needs -client"},
		{"replay -server nats://user:secret@127.0.0.1:1", 1, "connect to nats://user:xxxxx@127.0.0.1:1"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(context.Background(), strings.Fields(tt.args), &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if got := stdout.String() + stderr.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "secret") {
				t.Errorf("output %q, want %q in it and no password", got, tt.want)
			}
		})
	}
}

func TestIsWrongVersion(t *testing.T) {
	err := errors.New(`stan: wrong expected version: aggregate "A" is at version 3, event has version 3`)
	if !isWrongVersion(err) || isWrongVersion(errors.New("stan: publish ack timeout")) {
		t.Error("isWrongVersion confuses a version conflict with a timeout")
	}
}
