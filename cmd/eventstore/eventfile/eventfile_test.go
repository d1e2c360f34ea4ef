package eventfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
)

// odd are texts that are hard to keep.
var odd = []string{"", "a", "'", "''x", "=1", "-1", "@x", "\t", "a,b", `a\,b`, `"q"`, "two\nlines", "ü", "😀", "'=", " ", "null", "metadata"}

func pick(r *rand.Rand) string { return odd[r.IntN(len(odd))] }

// randomEvent returns an event of an export.
func randomEvent(r *rand.Rand, position uint64) *eventjson.Event {
	at := time.Unix(r.Int64N(2e9), r.Int64N(1e9)).UTC()
	e := &eventjson.Event{
		Position: position, Channel: "eventstore.c", Sequence: position, ID: fmt.Sprint("id", position, pick(r)), Type: "T" + pick(r), AggregateType: pick(r), AggregateID: "a" + pick(r),
		Version: 1 + r.Uint64N(5), RecordedAt: &at, ContentType: pick(r),
	}
	if r.IntN(2) == 0 {
		occurred := at.Add(-time.Hour)
		e.OccurredAt = &occurred
	}
	for range r.IntN(3) {
		e.Tags = append(e.Tags, "t"+pick(r))
	}
	for range r.IntN(3) {
		if e.Metadata == nil {
			e.Metadata = map[string]string{}
		}
		e.Metadata["k"+pick(r)] = pick(r)
	}
	switch r.IntN(6) {
	case 5:
		e.Erased, e.Tags, e.Metadata = 1+r.Uint64N(9), nil, nil
	case 4:
		e.SetPayload([]byte("{\"a\":[1.0,1e400,\"<b>&\u2028\\u0000\",{\"a\":1,\"a\":2}]}"))
	case 0:
		e.SetPayload([]byte(`{"a": [1, "=x"] }`))
	case 1:
		e.SetPayload([]byte{0, 0xff, '\r', '\n'})
	case 2:
		e.SetPayload([]byte("text, " + pick(r)))
	}
	return e
}

// written returns a file of events.
func written(t *testing.T, o Options, events []*eventjson.Event) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := New(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 { // several frames
			if err := w.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(true); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readAll returns the events of a file.
func readAll(file []byte) (all []*eventjson.Event, err error) {
	r, err := Open(bytes.NewReader(file), "", nil)
	if err != nil {
		return nil, err
	}
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err == nil {
			err = record.Err
		}
		if err != nil {
			return all, err
		}
		all = append(all, record.Event)
	}
}

// Events are read as they were written, in each format and compression.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var events []*eventjson.Event
	for i := range 200 {
		events = append(events, randomEvent(r, uint64(i+1)))
	}
	for _, format := range Formats {
		for _, compression := range append(Compressions, "") {
			all, err := readAll(written(t, Options{Format: format, Compression: compression}, events))
			if err != nil || len(all) != len(events) {
				t.Fatalf("%s %s: %d events, %v", format, compression, len(all), err)
			}
			for i, e := range all {
				if !bytes.Equal(e.Payload(), events[i].Payload()) {
					t.Errorf("%s: event_data %q became %q", format, events[i].Payload(), e.Payload())
				}
				want := *events[i]
				got := *e
				want.Data, want.DataBase64, got.Data, got.DataBase64 = nil, nil, nil, nil
				if !reflect.DeepEqual(want, got) {
					t.Fatalf("%s: event\n%+v\nbecame\n%+v", format, want, got)
				}
			}
		}
	}
}

// A file that was cut off anywhere goes on behind its last whole frame, and has each event once.
func TestResume(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var events []*eventjson.Event
	for i := range 30 {
		events = append(events, randomEvent(r, uint64(i+1)))
	}
	for _, format := range Formats {
		for _, compression := range append(Compressions, "") {
			o := Options{Format: format, Compression: compression, Of: "x"}
			whole := written(t, o, events)
			for cut := 0; cut < len(whole); cut += 1 + len(whole)/25 {
				path := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
					t.Fatal(err)
				}
				file, err := os.OpenFile(path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				w, err := Resume(file, o)
				if err != nil {
					t.Fatalf("%s %s, cut at byte %d of %d: %v", format, compression, cut, len(whole), err)
				}
				last, count := w.Last()
				if last != count {
					t.Fatalf("%s %s, cut at byte %d: position %d after %d events", format, compression, cut, last, count)
				}
				for _, e := range events[last:] {
					if err := w.Add(e); err != nil {
						t.Fatal(err)
					}
				}
				if err := errors.Join(w.Close(true), file.Close()); err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				all, err := readAll(text)
				if err != nil || len(all) != len(events) {
					t.Fatalf("%s %s, cut at byte %d: %d events, %v", format, compression, cut, len(all), err)
				}
			}
		}
	}
}

// A file that is cut off or changed is noticed, wherever that is: in NDJSON by its last line, otherwise by the compression.
func TestCutOff(t *testing.T) {
	events := []*eventjson.Event{{Position: 1, Channel: "c", Sequence: 1, Type: "T", AggregateID: "a"}, {Position: 2, Channel: "c", Sequence: 2, Type: "T", AggregateID: "a"}}
	for _, compression := range append(Compressions, "") {
		whole := written(t, Options{Format: NDJSON, Compression: compression}, events)
		for cut := 1; cut < len(whole)-1; cut++ {
			if _, err := readAll(whole[:cut]); err == nil {
				t.Errorf("%s: cut at byte %d of %d, it is taken for whole", compression, cut, len(whole))
			}
		}
	}
	whole := written(t, Options{Format: NDJSON}, events)
	if _, err := readAll(bytes.Replace(whole, []byte(`"aggregate_id":"a"`), []byte(`"aggregate_id":"b"`), 1)); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed event: %v", err)
	}
}

// A file that is not of an export stays as it is.
func TestResumeInOther(t *testing.T) {
	for _, content := range []string{"a,b\n1,2\n", `{"mine":1}`, "x", "\x1f\x8b\x08\x08", "PK\x03\x04 and no line break", strings.Repeat("z", 1<<20)} {
		for _, format := range Formats {
			for _, compression := range append(Compressions, "") {
				path := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				file, err := os.OpenFile(path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, err = Resume(file, Options{Format: format, Compression: compression, Of: "x"})
				if err == nil || !strings.Contains(err.Error(), "name another file") {
					t.Errorf("%s %s: in %.10q: %v", format, compression, content, err)
				}
				if text, err := os.ReadFile(path); err != nil || string(text) != content {
					t.Errorf("%s %s: %.10q became %.10q, %v", format, compression, content, text, err)
				}
				if err := file.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Batches of CloudEvents follow one another; what follows them is not passed over.
func TestBatches(t *testing.T) {
	const batch = "[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/a\",\"type\":\"T\"}]\n"
	if all, err := readAll([]byte(batch + "[]" + batch)); err != nil || len(all) != 2 {
		t.Errorf("two batches: %d events, %v", len(all), err)
	}
	for _, more := range []string{"x", "{}", "]", "["} {
		if all, err := readAll([]byte(batch + more)); err == nil || len(all) != 1 {
			t.Errorf("a batch with %q behind it: %d events, %v", more, len(all), err)
		}
	}
}

// A byte order mark is not part of a file.
func TestByteOrderMark(t *testing.T) {
	for _, text := range []string{"{\"type\":\"T\"}\n", "[{\"type\":\"T\"}]", "type\r\nT\r\n"} {
		if all, err := readAll([]byte("\ufeff" + text)); err != nil || len(all) != 1 || all[0].Type != "T" {
			t.Errorf("%q: %v, %v", text, all, err)
		}
	}
}

// A record of CSV that is not valid has its whole text, also where a quote is not closed.
func TestInvalidCSV(t *testing.T) {
	text := "type,data\r\nA,\"x\ny\"\r\n\r\nB,a\"b\r\nC,1\nD\nE,\"open\nF,2\nG,3\n"
	r, err := Open(strings.NewReader(text), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		line  int
		text  string
		valid bool
	}{{2, "A,\"x\ny\"", true}, {5, "B,a\"b", false}, {6, "C,1", true}, {7, "D", false}, {8, "E,\"open\nF,2\nG,3", false}} {
		got, err := r.Next()
		if err != nil || got.Line != want.line || string(got.Text) != want.text || (got.Err == nil) != want.valid {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}
