package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const (
	maxLine  = 16 << 20 // of an event in a file
	maxBatch = 1000     // events of a call
)

// appendFlags describe one event, or a file of events.
type appendFlags struct {
	event      eventjson.Event
	data       string
	occurredAt string
	metadata   []string
	file       string
	batch      int
	protobuf   protobufFlags
	expect     expectFlags
}

// appendedJSON is what append prints of an event.
type appendedJSON struct {
	Channel   string `json:"channel"`
	Position  uint64 `json:"position"`
	Sequence  uint64 `json:"sequence"`
	Version   uint64 `json:"version"`
	ID        string `json:"id"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

func appendCommand(t *tool) *cobra.Command {
	var f appendFlags
	c := &cobra.Command{
		Use:   "append CHANNEL [--type TYPE --aggregate ID --data JSON | --file FILE]",
		Short: "Append an event, or a file of events",
		Long: `Appends one event that the flags describe, or the events of a file: an object on each line, as read -o json prints them. An event without an ID
gets one, so that a call that is sent again after an interruption stores nothing twice.`,
		Example: `  eventstore append eventstore.orders --type OrderPaid --aggregate-type Order --aggregate o-17 --data '{"amount": 4200}' --expect 3
  eventstore append eventstore.orders --file events.ndjson
  jq -c … | eventstore append eventstore.orders --file -
  eventstore append eventstore.users --type NameTaken --aggregate u1 --tag name:ada --unless '{"event_types": ["NameTaken"], "tags": ["name:ada"]}'
  eventstore append eventstore.orders --type OrderPaid --aggregate o-17 --data '{"amount": 4200}' --descriptors shop.binpb --message shop.OrderPaid`,
		Args: cobra.ExactArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			if f.file != "" {
				return t.appendFile(ctx, r, args[0], &f)
			}
			request, err := f.request(t, args[0])
			if err != nil {
				return err
			}
			return t.append(ctx, r, request, t.newAppended())
		}),
	}
	flags := c.Flags()
	flags.StringVarP(&f.event.Type, "type", "t", "", "type of the event")
	flags.StringVarP(&f.event.AggregateID, "aggregate", "a", "", "ID of its aggregate")
	flags.StringVar(&f.event.AggregateType, "aggregate-type", "", "type of its aggregate")
	flags.StringVarP(&f.data, "data", "d", "", "its data: JSON, @FILE, or - for stdin")
	flags.StringVar(&f.event.ID, "id", "", "its ID (default a new UUID)")
	flags.StringArrayVarP(&f.metadata, "metadata", "m", nil, "KEY=VALUE of its metadata; again for several")
	flags.StringArrayVar(&f.event.Tags, "tag", nil, "tag; again for several")
	flags.StringVar(&f.occurredAt, "occurred-at", "", "when it happened: "+timeHelp)
	flags.StringVar(&f.event.ContentType, "content-type", "", "media type of the data")
	flags.StringVarP(&f.file, "file", "f", "", "append the events of this file in place of one: an object on each line; - for stdin")
	flags.IntVar(&f.batch, "batch", 100, "events of a file that are stored in one transaction, at most 1000")
	f.protobuf.registerEncoding(flags)
	f.expect.register(flags)
	return c
}

// request is the append of the event that the flags describe.
func (f *appendFlags) request(t *tool, channel string) (*eventstorev1.AppendRequest, error) {
	e := &f.event
	if e.Type == "" || e.AggregateID == "" {
		return nil, usage("give --type and --aggregate, or events with --file")
	}
	var err error
	if e.Metadata, err = entries(f.metadata); err != nil {
		return nil, err
	}
	if f.occurredAt != "" {
		at, err := t.when("occurred-at", f.occurredAt)
		if err != nil {
			return nil, err
		}
		e.OccurredAt = &at
	}
	if err := f.readData(t); err != nil {
		return nil, err
	}
	if err := complete(e, &f.protobuf); err != nil {
		return nil, err
	}
	request := &eventstorev1.AppendRequest{Channel: channel, Events: []*eventstorev1.Event{e.Message()}}
	return request, f.expect.add(request, e)
}

// readData reads --data.
func (f *appendFlags) readData(t *tool) error {
	data := []byte(f.data)
	var err error
	switch name, isFile := strings.CutPrefix(f.data, "@"); {
	case f.data == "-":
		data, err = io.ReadAll(t.in)
	case isFile:
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if f.data != "-" || len(data) > 0 {
		f.event.SetPayload(data)
	}
	return nil
}

// entries parses KEY=VALUE.
func entries(given []string) (map[string]string, error) {
	var all map[string]string
	for _, entry := range given {
		key, value, found := strings.Cut(entry, "=")
		if !found || key == "" {
			return nil, usage("--metadata %q: write KEY=VALUE", entry)
		}
		if all == nil {
			all = make(map[string]string)
		}
		all[key] = value
	}
	return all, nil
}

// complete gives an event an ID, and encodes its data as the flags say.
func complete(e *eventjson.Event, p *protobufFlags) error {
	if e.ID == "" {
		e.ID = uuid.NewString()
	}
	if err := p.encode(e); err != nil {
		return err
	}
	if e.ContentType == "" && e.Data != nil && e.DataBase64 == nil {
		e.ContentType = "application/json"
	}
	return nil
}

// appendFile appends the events of a file in batches. Each batch is one transaction.
func (t *tool) appendFile(ctx context.Context, r *remote, channel string, f *appendFlags) error {
	switch {
	case f.batch < 1 || f.batch > maxBatch:
		return usage("--batch %d must be from 1 to %d", f.batch, maxBatch)
	case f.event.Type != "" || f.event.AggregateID != "" || f.data != "" || f.expect.given():
		return usage("--file brings its own events: leave out the flags of one, and expectations")
	}
	in := t.in
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		defer file.Close() //nolint:errcheck // nothing was written
		in = file
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	out, stored, line := t.newAppended(), uint64(0), 0
	p := t.newProgress("events", 0)
	request := &eventstorev1.AppendRequest{Channel: channel}
	flush := func() error {
		if len(request.Events) == 0 {
			return nil
		}
		if err := t.append(ctx, r, request, out); err != nil {
			return fmt.Errorf("lines up to %d: %w; %s events before them are stored", line, err, number(stored))
		}
		stored += uint64(len(request.Events))
		p.at(stored)
		request = &eventstorev1.AppendRequest{Channel: channel}
		return nil
	}
	for lines.Scan() {
		line++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		e, err := eventjson.Unmarshal(text)
		if err == nil {
			err = complete(e, &f.protobuf)
		}
		if err != nil {
			return errors.Join(flush(), usage("line %d: %v", line, err))
		}
		if request.Events = append(request.Events, e.Message()); len(request.Events) == f.batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	p.clear()
	if err := lines.Err(); err != nil {
		return errors.Join(flush(), fmt.Errorf("--file, after line %d: %w", line, err))
	}
	return flush()
}

// appendedList prints where events were stored, in columns that fit any event.
type appendedList struct{ titled bool }

func (t *tool) newAppended() *appendedList { return &appendedList{} }

// append sends a request, again after an interruption, and prints where its events are.
func (t *tool) append(ctx context.Context, r *remote, request *eventstorev1.AppendRequest, out *appendedList) error {
	var answer *eventstorev1.AppendResponse
	err := r.call(ctx, func(ctx context.Context, s *server) (err error) {
		answer, err = s.events.Append(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	for i, e := range answer.GetEvents() {
		if i >= len(request.GetEvents()) {
			return errors.New("the server returned more events than were appended")
		}
		stored := appendedJSON{request.GetChannel(), e.GetPosition(), e.GetSequence(), e.GetEventVersion(), request.GetEvents()[i].GetEventId(), answer.GetDuplicate()}
		if t.json() {
			if err := t.printJSON(stored); err != nil {
				return err
			}
			continue
		}
		if !out.titled {
			out.titled = true
			if err := t.print("%-12s %-12s %-8s %s", "POSITION", "SEQUENCE", "VERSION", "ID"); err != nil {
				return err
			}
		}
		duplicate := ""
		if stored.Duplicate {
			duplicate = " (was stored already)"
		}
		if err := t.print("%-12d %-12d %-8d %s%s", stored.Position, stored.Sequence, stored.Version, stored.ID, duplicate); err != nil {
			return err
		}
	}
	return nil
}
