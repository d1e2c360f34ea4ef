package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// ErasuresChannel is the channel of the events that tell readers of erasures.
const ErasuresChannel = "eventstore.erasures"

// The type and the aggregate type of these events.
const (
	typeEventsErased = "EventsErased"
	typeErasure      = "Erasure"
)

const (
	// announcedRanges bounds the ranges of one event, announcedAtOnce the events of one commit.
	announcedRanges = 1000
	announcedAtOnce = 100
)

// EventsErased is the data of an event of ErasuresChannel, as JSON: events of a channel were erased.
type EventsErased struct {
	Erasure   uint64      `json:"erasure"`
	Channel   string      `json:"channel"`
	Sequences [][2]uint64 `json:"sequences"` // first and last of each range
	Positions [][2]uint64 `json:"positions"`
}

// announce appends an event for each channel of an erasure. Each has an event_id, so that it is stored once.
func (e *Eraser) announce(ctx context.Context, erasure uint64, channels []listedEvents) error {
	if block := e.log.o.Events.Of(ErasuresChannel); block == nil || block.Mapping != nil {
		e.logger.Warn(fmt.Sprintf("Readers are not told of erasures: %q is not a channel of eventstore.v1.Event", ErasuresChannel), "erasure", erasure)
		return nil
	}
	var messages []Message
	for _, c := range channels {
		for len(c.sequences) > 0 {
			n, told := c.part()
			told.Erasure = erasure
			data, err := json.Marshal(told)
			if err != nil {
				return err
			}
			payload, err := googleproto.Marshal(&eventstorev1.Event{
				EventId:   fmt.Sprintf("erasure-%d-%d", erasure, len(messages)+1),
				EventType: typeEventsErased, AggregateType: typeErasure, AggregateId: strconv.FormatUint(erasure, 10),
				EventData: data, ContentType: "application/json",
			})
			if err != nil {
				return err
			}
			messages = append(messages, Message{Payload: payload})
			c.sequences, c.positions = c.sequences[n:], c.positions[n:]
		}
	}
	for len(messages) > 0 {
		n := min(len(messages), announcedAtOnce)
		if err := e.append(ctx, messages[:n]); err != nil {
			return fmt.Errorf("announce erasure %d: %w", erasure, err)
		}
		messages = messages[n:]
	}
	return nil
}

// part returns how many of the events fit into one announcement, and it.
func (l *listedEvents) part() (n int, told EventsErased) {
	told.Channel = l.channel
	for n < len(l.sequences) && len(told.Sequences)+len(told.Positions) < announcedRanges {
		told.Sequences = extended(told.Sequences, l.sequences[n])
		told.Positions = extended(told.Positions, l.positions[n])
		n++
	}
	return n, told
}

// extended adds a number to ranges.
func extended(ranges [][2]uint64, n uint64) [][2]uint64 {
	if last := len(ranges) - 1; last >= 0 && ranges[last][1]+1 == n {
		ranges[last][1] = n
		return ranges
	}
	return append(ranges, [2]uint64{n, n})
}

// append stores events of ErasuresChannel.
func (e *Eraser) append(ctx context.Context, messages []Message) error {
	stored := make(chan []stores.Result, 1)
	e.log.Submit(Submission{
		Channel: ErasuresChannel, From: typeErasure, Received: time.Now(), Group: &stores.Group{},
		Decode: func(*Channel) ([]Message, error) { return messages, nil },
		Answer: func(results []stores.Result) { stored <- results },
	})
	select {
	case results := <-stored:
		for _, r := range results {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
