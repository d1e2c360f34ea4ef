package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// list is the output of a command: a table with a row for each item, or an object on each line.
type list struct {
	t     *tool
	table *tabwriter.Writer
	rows  int
	empty string // what to say instead of a table without rows
}

// newList begins a list. empty is said instead of a table that has no rows; it says what to do next.
func (t *tool) newList(empty string, header ...string) *list {
	l := &list{t: t, empty: empty, table: tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)}
	if !t.json() {
		fmt.Fprintln(l.table, strings.Join(header, "\t"))
	}
	return l
}

func (t *tool) json() bool { return t.format == "json" }

// add adds an item: as cells of the table, or as the value.
func (l *list) add(value any, cells ...string) error {
	if l.t.json() {
		return l.t.printJSON(value)
	}
	l.rows++
	for i := range cells {
		cells[i] = escape(cells[i])
	}
	_, err := fmt.Fprintln(l.table, strings.Join(cells, "\t"))
	return err
}

// end writes the table.
func (l *list) end() error {
	switch {
	case l.t.json():
		return nil
	case l.rows == 0 && l.empty != "":
		l.t.note("%s", l.empty)
		return nil
	}
	return l.table.Flush()
}

// printJSON writes a value on a line.
func (t *tool) printJSON(value any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := fmt.Fprintln(t.out, printable.JSON(strings.TrimRight(b.String(), "\n")))
	return err
}

// print writes a line for people, in which what clients chose cannot move the cursor.
func (t *tool) print(format string, args ...any) error {
	_, err := fmt.Fprintln(t.out, escape(fmt.Sprintf(format, args...)))
	return err
}

// escape makes one line of text of which nothing acts on the terminal.
func escape(text string) string { return printable.Line(text) }

// time formats a time for people, with the zone only where it is not the local one.
func (t *tool) time(at time.Time) string {
	switch {
	case at.IsZero():
		return "-"
	case t.utc:
		return at.UTC().Format("2006-01-02 15:04:05.000Z")
	}
	return at.Local().Format("2006-01-02 15:04:05.000")
}

func (t *tool) timestamp(at *timestamppb.Timestamp) string {
	if at == nil {
		return "-"
	}
	return t.time(at.AsTime())
}

// number formats a number for people: 12,345,678.
func number[N int | int64 | uint32 | uint64](n N) string {
	text := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// bytesOf formats a number of bytes for people.
func bytesOf(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/unit, 0
	for value >= unit && i < 4 {
		value, i = value/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[i])
}

// dash is "-" for an empty text.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// duration formats a duration to about three digits.
func duration(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return d.Round(time.Minute).String()
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}
