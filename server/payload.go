package server

import (
	"fmt"
	"log/slog"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// jsonGrowth is how many times longer than its payload the JSON of an event may be without a warning at the start.
const jsonGrowth = 4

// checkPayload compares max_payload of NATS with what the database takes. A message with its channel and reply is at most
// as long as max_payload (deliverable); the JSON of an event that is protobuf is longer, without a bound.
func checkPayload(maxPayload int64, limit stores.ValueLimit, log *slog.Logger) error {
	if maxPayload > limit.Bytes {
		return fmt.Errorf("max_payload of NATS is %d bytes, the database takes %d (%s): lower max_payload or raise the database's limit to %d or more",
			maxPayload, limit.Bytes, limit.Name, jsonGrowth*maxPayload)
	}
	if jsonGrowth*maxPayload > limit.Bytes {
		log.Warn("An event whose event_data as JSON is longer than the database takes will be refused: lower max_payload or raise the database's limit",
			"max_payload", maxPayload, "limit", limit.Bytes, "of", limit.Name, "enough", jsonGrowth*maxPayload)
	}
	return nil
}
