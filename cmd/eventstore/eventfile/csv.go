package eventfile

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
)

// csvColumns are the columns of a file, by the names that its first record has.
var csvColumns = []string{
	"position", "recorded_at", "channel", "sequence", "id", "type", "aggregate_type", "aggregate_id", "version", "occurred_at",
	"tags", "metadata", "content_type", "stream", "data", "data_base64", "payload_base64", "erased",
}

// formulas are first characters by which spreadsheets take a cell for a formula, or which would be taken for our own mark.
const formulas = "=+-@\t\r'"

// shielded puts an apostrophe before a text that a spreadsheet would run.
func shielded(text string) string {
	if text != "" && strings.ContainsRune(formulas, rune(text[0])) {
		return "'" + text
	}
	return text
}

// unshielded is the inverse of shielded.
func unshielded(text string) string {
	if len(text) > 1 && text[0] == '\'' && strings.ContainsRune(formulas, rune(text[1])) {
		return text[1:]
	}
	return text
}

// csvLine returns a record as RFC 4180 has it, with CRLF at its end.
func csvLine(cells []string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = false  // which would change line breaks within cells
	_ = w.Write(cells) // to memory
	w.Flush()
	return append(bytes.TrimSuffix(b.Bytes(), []byte("\n")), '\r', '\n')
}

func csvEvent(e *eventjson.Event, raw bool) ([]byte, error) {
	tags, err := jsonCell(len(e.Tags) == 0, e.Tags)
	if err != nil {
		return nil, err
	}
	metadata, err := jsonCell(len(e.Metadata) == 0, e.Metadata)
	if err != nil {
		return nil, err
	}
	data, binary := string(e.Data), ""
	if e.DataBase64 != nil {
		data, binary = "", base64.StdEncoding.EncodeToString(e.DataBase64)
		if utf8.Valid(e.DataBase64) && !bytes.ContainsAny(e.DataBase64, "\r\x00") && !json.Valid(e.DataBase64) {
			data, binary = string(e.DataBase64), "" // text
		}
	}
	cells := []string{
		strconv.FormatUint(e.Position, 10), timeCell(e.RecordedAt), e.Channel, strconv.FormatUint(e.Sequence, 10), e.ID, e.Type, e.AggregateType, e.AggregateID,
		numberCell(e.Version), timeCell(e.OccurredAt), tags, metadata, e.ContentType, e.Stream, data, binary, base64.StdEncoding.EncodeToString(e.PayloadBase64), numberCell(e.Erased),
	}
	for i, cell := range cells {
		if strings.ContainsRune(cell, '\r') {
			return nil, fmt.Errorf("event %d of channel %q has a carriage return in %s, which CSV does not keep: export it as %s", e.Sequence, e.Channel, csvColumns[i], NDJSON)
		}
		if !raw {
			cells[i] = shielded(cell)
		}
	}
	return csvLine(cells), nil
}

func timeCell(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func numberCell(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func jsonCell(empty bool, value any) (string, error) {
	if empty {
		return "", nil
	}
	text, err := json.Marshal(value)
	return string(text), err
}

// seenCSV notes the records of a frame that is in the file already.
func (w *Writer) seenCSV(text []byte, first bool) error {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = len(csvColumns)
	for {
		cells, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errors.New("it does not hold an export as CSV: name another file")
		case first && strings.Join(cells, ",") == strings.Join(csvColumns, ","):
			first = false
			continue
		}
		position, err := strconv.ParseUint(cells[0], 10, 64)
		if err != nil || first {
			return errors.New("it does not hold an export as CSV: name another file")
		}
		w.note(position, nil)
	}
}

// csvReader reads events of CSV.
type csvReader struct {
	r      *csv.Reader
	text   *csvText
	fields []string // by column; "-" for one that is left out
}

// csvText keeps the text of a record, which csv.Reader does not return.
type csvText struct {
	in   io.Reader
	from int64 // where kept begins
	kept []byte
}

// Read implements io.Reader.
func (t *csvText) Read(p []byte) (int, error) {
	n, err := t.in.Read(p)
	t.kept = append(t.kept, p[:n]...)
	return n, err
}

// upTo returns the text before an offset, without the line breaks around it, and forgets it.
func (t *csvText) upTo(offset int64) []byte {
	n := int(offset - t.from)
	text := bytes.Clone(bytes.Trim(t.kept[:n], "\r\n"))
	t.kept, t.from = append(t.kept[:0], t.kept[n:]...), offset
	return text
}

// newCSVReader reads the first record. mapped names the fields of columns, "-" for one to leave out, metadata.KEY for metadata.
func newCSVReader(in io.Reader, mapped map[string]string) (*csvReader, error) {
	text := &csvText{in: in}
	c := &csvReader{r: csv.NewReader(text), text: text}
	c.r.ReuseRecord = true
	columns, err := c.r.Read()
	if err != nil {
		return nil, fmt.Errorf("the first line must name the columns: %w", err)
	}
	text.upTo(c.r.InputOffset())
	known := map[string]bool{}
	for _, name := range csvColumns {
		known[name] = true
	}
	used := map[string]bool{}
	for _, column := range columns {
		field, given := mapped[column]
		if !given {
			field = column
		}
		used[column] = true
		if field != "-" && !known[field] && !strings.HasPrefix(field, "metadata.") {
			return nil, fmt.Errorf("column %q is not a field of an event: say which one with --map %q, as FIELD, metadata.KEY, or - to leave it out; fields are %s", column, column+"=FIELD", strings.Join(csvColumns, ", "))
		}
		c.fields = append(c.fields, field)
	}
	for column := range mapped {
		if !used[column] {
			return nil, fmt.Errorf("there is no column %q, which --map names: the file has %s", column, strings.Join(columns, ", "))
		}
	}
	return c, nil
}

// next returns the next event, with its line.
func (c *csvReader) next() (*Record, error) {
	cells, err := c.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, err
	}
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		err := wrong.Err
		if wrong.Line > wrong.StartLine {
			err = fmt.Errorf("%w, in the record up to line %d", err, wrong.Line)
		}
		return &Record{Line: wrong.StartLine, Text: c.text.upTo(c.r.InputOffset()), Err: err}, nil
	}
	if err != nil {
		return nil, err
	}
	line, _ := c.r.FieldPos(0)
	r := &Record{Line: line, Text: c.text.upTo(c.r.InputOffset())}
	r.Event, r.Err = c.event(cells)
	return r, nil
}

func (c *csvReader) event(cells []string) (*eventjson.Event, error) {
	e := &eventjson.Event{}
	for i, cell := range cells {
		if cell = unshielded(cell); cell == "" || c.fields[i] == "-" {
			continue
		}
		if err := setField(e, c.fields[i], cell); err != nil {
			return nil, fmt.Errorf("column %s: %w", c.fields[i], err)
		}
	}
	return e, nil
}

func setField(e *eventjson.Event, field, cell string) (err error) {
	switch field {
	case "position":
		e.Position, err = strconv.ParseUint(cell, 10, 64)
	case "sequence":
		e.Sequence, err = strconv.ParseUint(cell, 10, 64)
	case "version":
		e.Version, err = strconv.ParseUint(cell, 10, 64)
	case "erased":
		e.Erased, err = strconv.ParseUint(cell, 10, 64)
	case "recorded_at":
		e.RecordedAt, err = timeOf(cell)
	case "occurred_at":
		e.OccurredAt, err = timeOf(cell)
	case "channel":
		e.Channel = cell
	case "id":
		e.ID = cell
	case "type":
		e.Type = cell
	case "aggregate_type":
		e.AggregateType = cell
	case "aggregate_id":
		e.AggregateID = cell
	case "content_type":
		e.ContentType = cell
	case "stream":
		e.Stream = cell
	case "tags":
		err = json.Unmarshal([]byte(cell), &e.Tags)
	case "metadata":
		err = json.Unmarshal([]byte(cell), &e.Metadata)
	case "data":
		e.SetPayload([]byte(cell))
	case "data_base64":
		e.DataBase64, err = base64.StdEncoding.DecodeString(cell)
	case "payload_base64":
		e.PayloadBase64, err = base64.StdEncoding.DecodeString(cell)
	default:
		if e.Metadata == nil {
			e.Metadata = map[string]string{}
		}
		e.Metadata[strings.TrimPrefix(field, "metadata.")] = cell
	}
	return err
}

func timeOf(text string) (*time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time such as 2026-11-26T14:30:00Z", text)
	}
	return &at, nil
}
