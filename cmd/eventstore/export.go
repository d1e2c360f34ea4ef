package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/cmd/eventstore/eventfile"
	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// exportFlags say what to export to where.
type exportFlags struct {
	filter      filterFlags
	span        spanFlags
	format      string
	compression string
	file        string
	raw         bool
	stream      bool // file is stdout, a pipe or a device: an export never goes on in it
}

func exportCommand(t *tool) *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use:   "export [CHANNEL...] [--format FORMAT] [--output FILE]",
		Short: "Write events to a file: as lines of JSON, CSV or CloudEvents",
		Long: `Writes the events that match, by position, to a file or to stdout. CHANNEL is a name or a pattern, as for read.

An export that was interrupted goes on where it was when it is run again with the same flags. The end is fixed when it begins: events that
are stored later are not part of it.`,
		Example: `  eventstore export eventstore.orders --output orders.ndjson.zst
  eventstore export 'eventstore.>' --from-time 2026-01-01 --to-time 2026-02-01 --format csv --output january.csv
  eventstore export eventstore.orders --format cloudevents | curl --data-binary @- …`,
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error { return t.export(ctx, r, &f, args) }),
	}
	flags := c.Flags()
	flags.StringVar(&f.format, "format", eventfile.NDJSON, "ndjson: all there is of an event; csv: for spreadsheets; cloudevents: an event in JSON on each line")
	flags.StringVarP(&f.file, "output", "o", "-", "file to write, - for stdout")
	flags.StringVar(&f.compression, "compress", "", "gzip or zstd (default by the name of the file: .gz, .zst)")
	flags.BoolVar(&f.raw, "raw", false, "csv: put no apostrophe before cells that a spreadsheet would run as formulas")
	f.filter.register(flags)
	f.span.register(flags, false)
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(eventfile.Formats, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("compress", cobra.FixedCompletions(eventfile.Compressions, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// options checks the flags, and returns what the writer needs.
func (f *exportFlags) options(channels []string) (eventfile.Options, error) {
	switch {
	case !slices.Contains(eventfile.Formats, f.format):
		return eventfile.Options{}, usage("--format %q must be one of %s", f.format, strings.Join(eventfile.Formats, ", "))
	case f.compression != "" && !slices.Contains(eventfile.Compressions, f.compression):
		return eventfile.Options{}, usage("--compress %q must be gzip or zstd", f.compression)
	case f.raw && f.format != eventfile.CSV:
		return eventfile.Options{}, usage("--raw is for --format csv")
	case f.compression == "" && strings.HasSuffix(f.file, ".gz"):
		f.compression = eventfile.Gzip
	case f.compression == "" && strings.HasSuffix(f.file, ".zst"):
		f.compression = eventfile.Zstd
	}
	of, err := json.Marshal(struct {
		Channels       []string `json:"channels,omitempty"`
		Types          []string `json:"types,omitempty"`
		AggregateTypes []string `json:"aggregate_types,omitempty"`
		Aggregates     []string `json:"aggregates,omitempty"`
		Prefixes       []string `json:"prefixes,omitempty"`
		Tags           []string `json:"tags,omitempty"`
		Metadata       []string `json:"metadata,omitempty"`
		From           []any    `json:"from"`
		To             []any    `json:"to"`
		Limit          uint64   `json:"limit"`
	}{
		channels, f.filter.types, f.filter.aggregateTypes, f.filter.aggregates, f.filter.prefixes, f.filter.tags, f.filter.metadata,
		[]any{f.span.fromPosition, f.span.fromSequence, f.span.fromTime}, []any{f.span.toPosition, f.span.toSequence, f.span.toTime}, f.span.limit,
	})
	return eventfile.Options{Format: f.format, Compression: f.compression, Raw: f.raw, Of: string(of)}, err
}

// export writes events. It begins with what the file has already.
func (t *tool) export(ctx context.Context, r *remote, f *exportFlags, channels []string) error {
	o, err := f.options(channels)
	if err != nil {
		return err
	}
	s, err := f.span.span(ctx, t, r, &f.filter, channels)
	if err != nil {
		return err
	}
	w, end, err := f.writer(t, o)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // again after an error, which is returned
	if last, events := w.Last(); last > 0 {
		t.note("going on in %s after %s events, up to position %d", f.file, number(events), last)
		s.position = last + 1
		if s.limit > 0 {
			if events >= s.limit {
				s.limit = noLimitLeft
			} else {
				s.limit -= events
			}
		}
	}
	head, err := r.head(ctx)
	if err != nil {
		return err
	}
	if s.toPosition == 0 {
		s.toPosition = head
	}
	first := max(s.position, 1)
	p := t.newProgress("positions", s.toPosition+1-min(s.toPosition, first))
	if s.limit != noLimitLeft && head > 0 && s.position <= s.toPosition {
		err = r.read(ctx, s, func(events []*eventstorev1.RecordedEvent) error {
			for _, e := range events {
				if err := w.Add(eventjson.Of(e)); err != nil {
					return &exportError{err}
				}
			}
			p.at(s.position - min(s.position, first))
			return nil
		})
	}
	p.clear()
	complete := err == nil
	if closing := w.Close(complete); err == nil {
		err = closing
	}
	if err == nil {
		err = end()
	}
	if err != nil && !f.stream {
		_, events := w.Last()
		err = fmt.Errorf("%w; %s has the first %s events: run the same command again to go on", err, f.file, number(events))
	}
	if err == nil && !f.stream {
		_, events := w.Last()
		t.note("%s has %s events", f.file, number(events))
	}
	return err
}

// exportError is one of the file, which is not tried again.
type exportError struct{ err error }

func (e *exportError) Error() string { return e.err.Error() }
func (e *exportError) Unwrap() error { return e.err }

// writer opens the file. end closes it.
func (f *exportFlags) writer(t *tool, o eventfile.Options) (w *eventfile.Writer, end func() error, err error) {
	if f.file == "-" {
		f.stream = true
		w, err = eventfile.New(struct{ io.Writer }{t.out}, o)
		return w, func() error { return nil }, err
	}
	if found, err := os.Stat(f.file); err == nil && !found.Mode().IsRegular() {
		return f.streamWriter(o)
	}
	file, err := os.OpenFile(f.file, os.O_RDWR|os.O_CREATE, 0o600) // events may be personal
	if err != nil {
		return nil, nil, fmt.Errorf("--output: %w", err)
	}
	if w, err = eventfile.Resume(file, o); err != nil {
		_ = file.Close() // nothing was written
		if errors.Is(err, eventfile.ErrComplete) {
			return nil, nil, refused("%s: %v: remove it, or name another file", f.file, err)
		}
		return nil, nil, refused("%s: %v", f.file, err)
	}
	return w, file.Close, nil
}

// streamWriter opens a pipe or a device, which is not read.
func (f *exportFlags) streamWriter(o eventfile.Options) (w *eventfile.Writer, end func() error, err error) {
	f.stream = true
	file, err := os.OpenFile(f.file, os.O_WRONLY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("--output: %w", err)
	}
	if w, err = eventfile.New(struct{ io.Writer }{file}, o); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--output: %w", err), file.Close())
	}
	return w, file.Close, nil
}
