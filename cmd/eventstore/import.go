package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/cmd/eventstore/eventfile"
	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// importFlags say how to import files.
type importFlags struct {
	channel  string
	format   string
	mapped   []string
	batch    int
	versions bool
	skip     string
	cluster  string
}

const (
	importBatch  = 500
	offlineBatch = 5000
	importBytes  = 2 << 20 // of the events of a batch
	// importedAt is the key of the metadata that tells when an event was recorded where it came from.
	importedAt = "imported-recorded-at"
)

func importCommand(t *tool) *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import FILE...",
		Short: "Append the events of files that export wrote, of CSV, or of CloudEvents",
		Long: `Appends the events of files, in their order; - is stdin. Format and compression are detected. Events keep their IDs, so that an import
that was interrupted can be run again: it stores nothing twice. The server gives them new positions, sequences, versions and times of
recording; occurred_at is when they were recorded before, unless it is set.

With --dsn, no server takes part, and the database must be empty: events keep their sequences and times of recording.`,
		Example: `  eventstore import orders.ndjson.zst
  eventstore import orders.csv --channel eventstore.orders --map 'Order No=aggregate_id' --map 'Kind=type' --map 'Remark=metadata.remark'
  eventstore import january.ndjson.gz february.ndjson.gz --dsn new.db`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mapped, err := f.check()
			if err != nil {
				return err
			}
			if t.flags.offline.given() {
				if !cmd.Flags().Changed("batch") {
					f.batch = offlineBatch // nobody waits for it
				}
				return t.importOffline(cmd.Context(), &f, mapped, args)
			}
			return t.online(func(ctx context.Context, r *remote, args []string) error {
				return t.importOnline(ctx, r, &f, mapped, args)
			})(cmd, args)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&f.channel, "channel", "c", "", "channel for all events (default that of each event)")
	flags.StringVar(&f.format, "format", "", "ndjson, csv or cloudevents (default detected)")
	flags.StringArrayVar(&f.mapped, "map", nil, "csv: COLUMN=FIELD, COLUMN=metadata.KEY, or COLUMN=- to leave it out; again for several")
	flags.IntVar(&f.batch, "batch", importBatch, "events that are stored in one transaction, at most 1000")
	flags.BoolVar(&f.versions, "keep-versions", false, "refuse an event that does not become the version of its aggregate that it was before")
	flags.StringVar(&f.skip, "skip-invalid", "", "leave out what is refused, and write it to this file, with the reasons")
	flags.StringVar(&f.cluster, "cluster-id", "test-cluster", "with --dsn: the cluster ID of the server that will use the database")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(eventfile.Formats, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// check checks the flags, and returns what --map says.
func (f *importFlags) check() (map[string]string, error) {
	switch {
	case f.format != "" && !slices.Contains(eventfile.Formats, f.format):
		return nil, usage("--format %q must be one of %s", f.format, strings.Join(eventfile.Formats, ", "))
	case f.batch < 1 || f.batch > maxBatch:
		return nil, usage("--batch %d must be from 1 to %d", f.batch, maxBatch)
	}
	mapped := map[string]string{}
	for _, text := range f.mapped {
		at := strings.LastIndexByte(text, '=')
		if at <= 0 || at == len(text)-1 {
			return nil, usage("--map %q: write COLUMN=FIELD", text)
		}
		mapped[text[:at]] = text[at+1:]
	}
	return mapped, nil
}

// importing is one import.
type importing struct {
	t       *tool
	f       *importFlags
	mapped  map[string]string
	skipped *bufio.Writer // nil without --skip-invalid
	p       *progress

	valid    func(e *eventjson.Event) error                // may be nil
	store    func(ctx context.Context, batch []item) error // all of them, or none
	events   uint64                                        // stored, or left out
	refused  uint64
	stopping func() error
}

// item is an event of a file.
type item struct {
	*eventfile.Record
	file string
}

func (i *item) where() string { return fmt.Sprintf("%s, line %d", i.file, i.Line) }

// run imports files.
func (m *importing) run(ctx context.Context, files []string) (err error) {
	if m.f.skip != "" {
		file, err := os.OpenFile(m.f.skip, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("--skip-invalid: %w", err)
		}
		m.skipped = bufio.NewWriter(file)
		m.stopping = func() error { return errors.Join(m.skipped.Flush(), file.Sync(), file.Close()) }
		defer func() { err = errors.Join(err, m.stopping()) }()
	}
	m.p = m.t.newProgress("events", 0)
	for _, name := range files {
		if err := m.file(ctx, name); err != nil {
			m.p.clear()
			return err
		}
	}
	m.p.clear()
	return nil
}

// file imports one file.
func (m *importing) file(ctx context.Context, name string) error {
	in := m.t.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // nothing was written
		in = file
	}
	r, err := eventfile.Open(in, m.f.format, m.mapped)
	if err != nil {
		return usage("%s: %v", name, err)
	}
	var batch []item
	size := 0
	flush := func() error {
		err := m.flush(ctx, batch)
		batch, size = batch[:0], 0
		return err
	}
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return errors.Join(flush(), usage("%s: %v", name, err))
		}
		it := item{record, name}
		if it.Err == nil {
			it.Err = m.complete(&it)
		}
		if it.Err != nil {
			if err := flush(); err != nil {
				return err
			}
			if err := m.refuse(&it, it.Err); err != nil {
				return err
			}
			continue
		}
		batch = append(batch, it)
		if size += len(it.Text); len(batch) >= m.f.batch || size >= importBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// complete gives an event what it lacks. It returns an error if the event cannot be stored.
func (m *importing) complete(it *item) error {
	e := it.Event
	if m.f.channel != "" {
		e.Channel = m.f.channel
	}
	switch {
	case e.Channel == "":
		return errors.New("it has no channel: give one with --channel")
	case e.Type == "" && e.PayloadBase64 == nil:
		return errors.New("it has no type")
	case e.AggregateID == "" && e.PayloadBase64 == nil:
		return errors.New("it has no aggregate_id")
	}
	if e.ID == "" { // of its place and its text, so that it is the same when the import is run again, and not in another file of that name
		place := it.file + "\x00" + strconv.Itoa(it.Line) + "\x00" + string(it.Text)
		if e.Sequence > 0 && e.RecordedAt != nil {
			place = fmt.Sprint(e.Channel, "\x00", e.Sequence, "\x00", e.RecordedAt.UnixNano())
		}
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(place)).String()
	}
	if m.valid != nil {
		return m.valid(e)
	}
	return nil
}

// flush stores a batch. If it is refused, it finds the events that are.
func (m *importing) flush(ctx context.Context, batch []item) error {
	if len(batch) == 0 {
		return nil
	}
	err := m.store(ctx, batch)
	switch {
	case err == nil:
		m.events += uint64(len(batch))
		m.p.at(m.events)
		return nil
	case ctx.Err() != nil || !isRefusal(err):
		return fmt.Errorf("%s: %w; %s events before it are stored: run the import again to go on", batch[0].where(), err, number(m.events))
	case len(batch) == 1 && connect.CodeOf(err) == connect.CodeResourceExhausted:
		return fmt.Errorf("%s: %w", batch[0].where(), err)
	case len(batch) == 1:
		return m.refuse(&batch[0], err)
	}
	middle := len(batch) / 2
	if err := m.flush(ctx, batch[:middle]); err != nil {
		return err
	}
	return m.flush(ctx, batch[middle:])
}

// isRefusal reports whether an error is about an event, and not about the connection or rights.
func isRefusal(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeAborted, connect.CodeAlreadyExists, connect.CodeFailedPrecondition, connect.CodeOutOfRange, connect.CodeNotFound:
		return true
	case connect.CodeResourceExhausted: // the batch may be too large
		return true
	}
	return false
}

// refuse leaves an event out, or ends the import.
func (m *importing) refuse(it *item, why error) error {
	if m.skipped == nil {
		var failed *connect.Error
		if errors.As(why, &failed) {
			return fmt.Errorf("%s: %w; the %s events before it are stored, none after it: mend it and run the import again, or give --skip-invalid", it.where(), why, number(m.events))
		}
		return usage("%s: %v; the %s events before it are stored, none after it: mend it and run the import again, or give --skip-invalid", it.where(), why, number(m.events))
	}
	m.refused++
	_, err := fmt.Fprintf(m.skipped, "# %s: %s\n%s\n", escape(it.where()), escape(textOf(why)), it.Text)
	return err
}

// report says what was imported.
func (m *importing) report() error {
	if m.t.json() {
		if err := m.t.printJSON(map[string]uint64{"events": m.events, "skipped": m.refused}); err != nil {
			return err
		}
	} else if err := m.t.print("imported %s events", number(m.events)); err != nil {
		return err
	}
	if m.refused > 0 {
		return &statusError{exitUsage, fmt.Sprintf("%s events were left out: %s has them, with the reasons", number(m.refused), m.f.skip)}
	}
	return nil
}

// importOnline imports through the API.
func (t *tool) importOnline(ctx context.Context, r *remote, f *importFlags, mapped map[string]string, files []string) error {
	m := &importing{t: t, f: f, mapped: mapped}
	m.store = func(ctx context.Context, batch []item) error {
		request := &eventstorev1.AppendRequest{}
		for i := range batch {
			message := f.message(batch[i].Event)
			last := len(request.GetMore()) - 1
			if last < 0 || request.GetMore()[last].GetChannel() != batch[i].Event.Channel {
				request.More = append(request.More, &eventstorev1.ChannelEvents{Channel: batch[i].Event.Channel})
				last++
			}
			request.More[last].Events = append(request.More[last].Events, message)
		}
		return r.call(ctx, func(ctx context.Context, s *server) error {
			_, err := s.events.Append(ctx, request)
			return err
		})
	}
	if err := m.run(ctx, files); err != nil {
		return err
	}
	return m.report()
}

// message is an event as it is appended.
func (f *importFlags) message(e *eventjson.Event) *eventstorev1.Event {
	copied := *e
	if !f.versions {
		copied.Version = 0
	}
	if at := e.RecordedAt; at != nil {
		if copied.OccurredAt == nil {
			copied.OccurredAt = at
		}
		copied.Metadata = map[string]string{}
		for key, value := range e.Metadata {
			copied.Metadata[key] = value
		}
		if copied.Metadata[importedAt] == "" { // which an earlier import has set
			copied.Metadata[importedAt] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	return copied.Message()
}
