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

	"github.com/nats-eventstore/nats-eventstore/cmd/eventstore/eventjson"
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
	switch r.IntN(4) {
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
				if !bytes.Equal(e.Payload(), events[i].Payload()) && format != CloudEvents { // JSON loses white space there
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
