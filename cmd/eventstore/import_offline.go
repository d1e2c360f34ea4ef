package main

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

// importOffline imports into an empty database, without a server.
func (t *tool) importOffline(ctx context.Context, f *importFlags, mapped map[string]string, files []string) error {
	o, err := t.flags.offline.options()
	if err != nil {
		return err
	}
	if f.versions {
		return usage("--keep-versions is for a server: with --dsn, events keep their versions")
	}
	o.ClusterID = f.cluster
	m := &importing{t: t, f: f, mapped: mapped}
	err = offline.ImportEvents(ctx, o.Options, func(ctx context.Context, into *offline.EventImport) error {
		m.valid = func(e *eventjson.Event) error {
			payload, err := payloadOf(e)
			if err != nil {
				return err
			}
			return into.Check(e.Channel, payload)
		}
		m.store = func(ctx context.Context, batch []item) error {
			events := make([]offline.ImportedEvent, len(batch))
			for i := range batch {
				e := batch[i].Event
				payload, err := payloadOf(e)
				if err != nil {
					return err
				}
				events[i] = offline.ImportedEvent{Channel: e.Channel, Sequence: e.Sequence, Version: e.Version, Payload: payload}
				if e.RecordedAt != nil {
					events[i].RecordedAt = *e.RecordedAt
				}
			}
			return into.Append(ctx, events)
		}
		return m.run(ctx, files)
	})
	if err != nil {
		var known *statusError
		var wrong *usageError
		if errors.As(err, &known) || errors.As(err, &wrong) {
			return err
		}
		return settings.Redacted(err)
	}
	return m.report()
}

// payloadOf is the message of an event. The server appends the version, and so does the import.
func payloadOf(e *eventjson.Event) ([]byte, error) {
	if e.PayloadBase64 != nil {
		return e.PayloadBase64, nil
	}
	message := e.Message()
	message.EventVersion = 0
	return proto.MarshalOptions{Deterministic: true}.Marshal(message)
}
