package main

import (
	"bufio"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// eventList prints a stream of events: as rows of a table whose columns grow, or as an object on each line.
type eventList struct {
	t      *tool
	decode *protobufFlags // nil: data is shown as it is
	out    *bufio.Writer
	widths []int
	width  int // of the terminal, 0 if the output is none
}

func (t *tool) newEvents(decode *protobufFlags) *eventList {
	return &eventList{t: t, decode: decode, out: bufio.NewWriterSize(t.out, 64<<10), width: t.width()}
}

// add prints events, and leaves nothing in a buffer.
func (l *eventList) add(events []*eventstorev1.RecordedEvent) error {
	for _, r := range events {
		if err := l.one(l.decode.event(r)); err != nil {
			return err
		}
	}
	return l.out.Flush()
}

func (l *eventList) one(e *eventjson.Event) error {
	if l.t.json() {
		line, err := e.Marshal()
		if err != nil {
			return err
		}
		_, err = l.out.WriteString(printable.JSON(string(line)) + "\n")
		return err
	}
	if l.widths == nil {
		l.widths = []int{8, 23, 16, 16, 16, 3}
		l.row("POSITION", "TIME", "CHANNEL", "TYPE", "AGGREGATE", "VER", "DATA")
	}
	at := "-"
	if e.RecordedAt != nil {
		at = l.t.time(*e.RecordedAt)
	}
	l.row(strconv.FormatUint(e.Position, 10), at, e.Channel, dash(e.Type), dash(aggregateName(e.AggregateType, e.AggregateID)),
		strconv.FormatUint(e.Version, 10), dataOf(e))
	return nil
}

// row prints a row. The last cell is cut where the terminal ends.
func (l *eventList) row(cells ...string) {
	var b strings.Builder
	for i, cell := range cells {
		cell = escape(cell)
		if i == len(cells)-1 {
			if left := l.width - utf8.RuneCountInString(b.String()) - 1; l.width > 0 {
				cell = clip(cell, max(left, 16))
			}
			b.WriteString(cell)
			break
		}
		n := utf8.RuneCountInString(cell)
		l.widths[i] = max(l.widths[i], n)
		b.WriteString(cell + strings.Repeat(" ", l.widths[i]-n+2))
	}
	_, _ = l.out.WriteString(strings.TrimRight(b.String(), " ") + "\n") // Flush returns the error
}

// clip shortens text to n characters.
func clip(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// aggregateName is how an aggregate is written for people.
func aggregateName(kind, id string) string {
	if kind == "" {
		return id
	}
	return kind + "/" + id
}

// dataOf is event_data for people: JSON as it is, other data as text if it is that, or its size.
func dataOf(e *eventjson.Event) string {
	switch {
	case e.Erased != 0:
		return "(erased)"
	case e.Data != nil:
		return string(e.Data)
	case e.DataBase64 != nil && utf8.Valid(e.DataBase64):
		return string(e.DataBase64)
	case e.DataBase64 != nil:
		return "(" + bytesOf(uint64(len(e.DataBase64))) + " of binary data)"
	case e.PayloadBase64 != nil && e.Type == "":
		return "(" + bytesOf(uint64(len(e.PayloadBase64))) + ")"
	}
	return ""
}
