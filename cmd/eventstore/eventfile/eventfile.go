// Package eventfile writes events to files and reads them again: as lines of JSON, with all that there is of an event, as CSV for
// spreadsheets, and as CloudEvents. docs/reference/tool.md describes the formats.
package eventfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
)

// Formats by name.
const (
	NDJSON      = "ndjson"
	CSV         = "csv"
	CloudEvents = "cloudevents"
)

// Formats and Compressions are all names.
var (
	Formats      = []string{NDJSON, CSV, CloudEvents}
	Compressions = []string{Gzip, Zstd}
)

// Options say what to write.
type Options struct {
	Format      string
	Compression string // "" for none
	Raw         bool   // CSV: cells that a spreadsheet takes for formulas stay as they are
	// Of says what the events are, so that another export does not go on in the file. Only NDJSON keeps it.
	Of string
}

// head is the first line of NDJSON, and tail is the last one.
type (
	head struct {
		Export *headOf `json:"export"`
	}
	headOf struct {
		Format int    `json:"format"`
		Of     string `json:"of"`
	}
	tail struct {
		End *tailOf `json:"end"`
	}
	tailOf struct {
		Events uint64 `json:"events"`
		SHA256 string `json:"sha256"` // of the lines of the events, with their line breaks
	}
)

// ErrComplete means that a file holds a complete export.
var ErrComplete = errors.New("it holds a complete export")

// File is what Resume needs of a file.
type File interface {
	io.ReadWriteSeeker
	Truncate(size int64) error
	Sync() error
}

// Writer writes events. Events that were added are certainly in the file after Close.
type Writer struct {
	o       Options
	to      io.Writer
	sum     hash.Hash
	pending []byte
	events  uint64
	last    uint64 // position
}

// New returns a writer of a new file.
func New(to io.Writer, o Options) (w *Writer, err error) {
	w = &Writer{o: o, to: to, sum: sha256.New()}
	if w.pending, err = o.head(); err != nil {
		return nil, err
	}
	return w, w.flush()
}

// head returns the text that a file begins with, before the events. It is a frame of its own.
func (o *Options) head() ([]byte, error) {
	switch o.Format {
	case NDJSON:
		line, err := json.Marshal(head{&headOf{1, o.Of}})
		return append(line, '\n'), err
	case CSV:
		return csvLine(csvColumns), nil
	case CloudEvents:
		return nil, nil
	}
	return nil, fmt.Errorf("unknown format %q", o.Format)
}

// Resume returns a writer that goes on in a file that an interrupted export has left. It cuts off what is torn. A new file begins anew. A
// file of somebody else stays as it is.
func Resume(file File, o Options) (*Writer, error) {
	w := &Writer{o: o, to: file, sum: sha256.New()}
	first := true
	record := "\n"
	if o.Format == CSV {
		record = "\r\n" // cells have line breaks, but no carriage return
	}
	end, err := wholeFrames(file, o.Compression, record, func(text []byte) error {
		defer func() { first = false }()
		if o.Format == CSV {
			return w.seenCSV(text, first)
		}
		for line := range linesOf(text) {
			if err := w.seen(line, first); err != nil {
				return err
			}
			first = false
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if end == 0 {
		if err := w.begun(file); err != nil {
			return nil, err
		}
	}
	if err := file.Truncate(end); err != nil {
		return nil, err
	}
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return nil, err
	}
	if end == 0 {
		return New(file, o)
	}
	return w, nil
}

// begun returns an error unless a file without a whole frame is what an export leaves that was killed in its first one.
func (w *Writer) begun(file io.ReadSeeker) error {
	text, err := w.o.head()
	if err != nil {
		return err
	}
	events := text == nil // the first frame is already one of events, of which only the beginning is known
	if events {
		text = []byte(cloudBeginning)
	}
	first, err := compress(w.o.Compression, text)
	if err != nil {
		return err
	}
	if events && w.o.Compression != "" {
		first = first[:frameHeader]
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	found, err := io.ReadAll(io.LimitReader(file, int64(len(first))))
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(first, found) {
		return errors.New("it is not an export that was interrupted: name another file, or remove it")
	}
	return nil
}

func linesOf(text []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			n := len(text)
			for i, b := range text {
				if b == '\n' {
					n = i + 1
					break
				}
			}
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// seen notes a line that is in the file already.
func (w *Writer) seen(line []byte, first bool) error {
	if w.o.Format == CloudEvents {
		var ce struct {
			Position uint64 `json:"position,string"`
		}
		if err := json.Unmarshal(line, &ce); err != nil || ce.Position == 0 {
			return errors.New("it does not hold CloudEvents of an export: name another file")
		}
		w.note(ce.Position, line)
		return nil
	}
	if first {
		var h head
		if err := json.Unmarshal(line, &h); err != nil || h.Export == nil {
			return errors.New("it does not hold an export as NDJSON: name another file")
		}
		if h.Export.Of != w.o.Of {
			return fmt.Errorf("it holds another export, %s, not %s: name another file", h.Export.Of, w.o.Of)
		}
		return nil
	}
	var t tail
	if err := json.Unmarshal(line, &t); err == nil && t.End != nil {
		return ErrComplete
	}
	e, err := eventjson.Unmarshal(line)
	if err != nil {
		return fmt.Errorf("after event %d: %w", w.events, err)
	}
	w.note(e.Position, line)
	return nil
}

func (w *Writer) note(position uint64, line []byte) {
	w.events++
	w.last = position
	_, _ = w.sum.Write(line) // which never fails
}

// Last returns the position of the last event, and the number of all.
func (w *Writer) Last() (position, events uint64) { return w.last, w.events }

// Add writes an event.
func (w *Writer) Add(e *eventjson.Event) error {
	var line []byte
	var err error
	switch w.o.Format {
	case NDJSON:
		if line, err = e.Marshal(); err == nil {
			line = append(line, '\n')
		}
	case CSV:
		line, err = csvEvent(e, w.o.Raw)
	case CloudEvents:
		if line, err = cloudEvent(e); err == nil {
			line = append(line, '\n')
		}
	}
	if err != nil {
		return err
	}
	w.note(e.Position, line)
	w.pending = append(w.pending, line...)
	if len(w.pending) >= frameBytes {
		return w.flush()
	}
	return nil
}

func (w *Writer) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	frame, err := compress(w.o.Compression, w.pending)
	if err != nil {
		return err
	}
	w.pending = w.pending[:0]
	_, err = w.to.Write(frame)
	return err
}

// Close writes what is left. complete says that no event is missing.
func (w *Writer) Close(complete bool) error {
	if complete && w.o.Format == NDJSON {
		line, err := json.Marshal(tail{&tailOf{w.events, hex.EncodeToString(w.sum.Sum(nil))}})
		if err != nil {
			return err
		}
		w.pending = append(append(w.pending, line...), '\n')
	}
	if err := w.flush(); err != nil {
		return err
	}
	if f, ok := w.to.(interface{ Sync() error }); ok {
		return f.Sync()
	}
	return nil
}
