package eventfile

import (
	"bufio"
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

// maxLine bounds a line. The longest message is far shorter.
const maxLine = 256 << 20

// byteOrderMark begins files of Excel, and of editors and shells on Windows.
const byteOrderMark = "\ufeff"

// Record is what a file has for one event.
type Record struct {
	Line  int
	Text  []byte           // as it is in the file, without its line break
	Event *eventjson.Event // nil if Err is set
	Err   error            // why it is not an event
}

// Reader reads the events of a file.
type Reader struct {
	format string
	csv    *csvReader
	lines  *bufio.Scanner
	array  *json.Decoder // of batches of CloudEvents
	line   int
	ahead  bool // lines has read one more
	sum    hash.Hash
	count  uint64
	export bool // the file begins as an export does
	ended  bool // and ends as one does
}

// Open returns a reader of a file. It detects the compression, and the format if that is empty: CSV does not look like JSON. mapped is
// that of CSV.
func Open(from io.Reader, format string, mapped map[string]string) (*Reader, error) {
	text, compression, err := decompressed(from)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(text, 64<<10)
	if mark, _ := in.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = in.Discard(len(mark)) // which is buffered
	}
	first, err := firstByte(in)
	if err != nil {
		return nil, err
	}
	if first == 0 && compression != "" {
		return nil, errors.New("there is no text in the compressed file: it is cut off")
	}
	r := &Reader{format: format, sum: sha256.New()}
	if r.format == "" {
		if r.format = CSV; first == '{' || first == '[' || first == 0 {
			r.format = NDJSON // or CloudEvents, as each line tells
		}
	}
	switch {
	case r.format == CSV:
		r.csv, err = newCSVReader(in, mapped)
		return r, err
	case len(mapped) > 0:
		return nil, errors.New("--map is for CSV")
	case first == '[':
		r.array = json.NewDecoder(in)
		_, err := r.array.Token()
		return r, err
	}
	r.lines = bufio.NewScanner(in)
	r.lines.Buffer(make([]byte, 64<<10), maxLine)
	return r, nil
}

// firstByte returns the first byte that is not white space, 0 for an empty file.
func firstByte(in *bufio.Reader) (byte, error) {
	for n := 1; n < 1024; n++ {
		seen, err := in.Peek(n)
		if len(seen) < n {
			if errors.Is(err, io.EOF) {
				return 0, nil
			}
			return 0, err
		}
		if b := seen[n-1]; b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return b, nil
		}
	}
	return 0, nil
}

// Next returns the next record, or io.EOF. An error is one of the file as a whole.
func (r *Reader) Next() (*Record, error) {
	switch {
	case r.csv != nil:
		return r.csv.next()
	case r.array != nil:
		return r.nextOfArray()
	}
	for r.ahead || r.lines.Scan() {
		r.ahead = false
		r.line++
		text := bytes.TrimSpace(r.lines.Bytes())
		if len(text) == 0 {
			continue
		}
		if r.ended {
			return nil, fmt.Errorf("line %d follows the end of the export", r.line)
		}
		special, err := r.special(text)
		if err != nil {
			return nil, err
		}
		if special {
			continue
		}
		_, _ = r.sum.Write(append(text[:len(text):len(text)], '\n')) // which never fails
		r.count++
		record := &Record{Line: r.line, Text: bytes.Clone(text)}
		record.Event, record.Err = parse(record.Text)
		if record.Err != nil && r.export {
			if r.ahead = r.lines.Scan(); !r.ahead {
				break // the line is torn
			}
		}
		return record, nil
	}
	switch err := r.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than %d bytes", r.line+1, maxLine)
	case err != nil:
		return nil, fmt.Errorf("after line %d: %w", r.line, err)
	case r.export && !r.ended:
		return nil, fmt.Errorf("the file ends with line %d, without the end of the export: it is cut off; run the export again, which goes on where it was", r.line)
	}
	return nil, io.EOF
}

// special reads the first and the last line of an export.
func (r *Reader) special(text []byte) (bool, error) {
	var h head
	if r.line == 1 && bytes.HasPrefix(text, []byte(`{"export"`)) && json.Unmarshal(text, &h) == nil && h.Export != nil {
		if h.Export.Format != 1 {
			return true, fmt.Errorf("the export has format %d, this program knows 1: use a newer one", h.Export.Format)
		}
		r.export = true
		return true, nil
	}
	var t tail
	if !r.export || !bytes.HasPrefix(text, []byte(`{"end"`)) || json.Unmarshal(text, &t) != nil || t.End == nil {
		return false, nil
	}
	if r.ended = true; t.End.Events != r.count || t.End.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) {
		return true, fmt.Errorf("the file has %d events, and its last line tells of %d with another checksum: it was changed or damaged; take the lines of the export away if that was meant", r.count, t.End.Events)
	}
	return true, nil
}

// parse parses an event of ours, or a CloudEvent.
func parse(text []byte) (*eventjson.Event, error) {
	var cloud struct {
		SpecVersion *string `json:"specversion"`
	}
	if json.Unmarshal(text, &cloud) == nil && cloud.SpecVersion != nil {
		return parseCloudEvent(text)
	}
	return eventjson.Unmarshal(text)
}

// nextOfArray returns the next event of a batch, or of the batch behind it. It returns no error that is io.EOF before the array has ended.
func (r *Reader) nextOfArray() (*Record, error) {
	for !r.array.More() {
		if _, err := r.array.Token(); err != nil {
			return nil, fmt.Errorf("after event %d: %s: the file is cut off or damaged", r.line, err.Error()) // no io.EOF
		}
		switch next, err := r.array.Token(); {
		case errors.Is(err, io.EOF):
			return nil, err
		case err != nil || next != json.Delim('['): // of the next batch
			return nil, fmt.Errorf("after event %d: something follows the batch that is not another one: take it away", r.line)
		}
	}
	var text json.RawMessage
	if err := r.array.Decode(&text); err != nil {
		return nil, fmt.Errorf("after event %d: %s: the file is cut off or damaged", r.line, err.Error()) // no io.EOF
	}
	r.line++
	record := &Record{Line: r.line, Text: text}
	record.Event, record.Err = parse(text)
	return record, nil
}
