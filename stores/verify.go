package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	schema "github.com/nats-eventstore/nats-eventstore/sql"
)

// Rules are what the configuration asks of a channel.
type Rules struct {
	Valid    bool           // the server accepts the channel's name
	Events   bool           // it is an event channel
	Mapping  *proto.Mapping // how an event is read from a payload
	Versions Versions       // which event_version an event may carry
}

// Verification says what Verify compares the database with, and what it tells on the way.
type Verification struct {
	Rules func(channel string) Rules
	Limit int // how many findings of a kind are kept; all are counted
	// Progress is called after each step of some thousand rows. It may be nil.
	Progress func(phase string, done, total uint64)
}

// Report is what Verify found. Findings contradict what this server or NATS Streaming writes; notes are worth knowing, such
// as sequences that were missing before a channel became an event channel.
type Report struct {
	Driver        string `json:"database"`
	Schema        int64  `json:"schema"`
	Channels      int    `json:"channels"`
	Messages      uint64 `json:"messages"`
	Bytes         uint64 `json:"bytes"` // of the encoded messages
	Events        uint64 `json:"events"`
	Aggregates    uint64 `json:"aggregates"`
	Subscriptions int    `json:"subscriptions"`
	Clients       int    `json:"clients"`

	Findings     []Finding      `json:"findings"`
	FindingCount map[string]int `json:"finding_counts"` // by kind, those included that Findings leaves out
	Notes        []Finding      `json:"notes"`
	NoteCount    map[string]int `json:"note_counts"`
}

// verifier is how a database is verified.
type verifier interface {
	// snapshot are the options of a transaction that sees one state of the whole database, and changes nothing.
	snapshot() *sql.TxOptions
	// verifyTexts returns the statements that differ between databases.
	verifyTexts() *verifyTexts
}

// verifyTexts are the statements of Verify that differ between databases.
type verifyTexts struct {
	messages     string // (id, from sequence, limit) → the columns of verifyRow, by seq
	firstChannel string // (id) → the lowest id of Messages above it, or NULL
	countMessage string // (id) → number of messages, lowest and highest sequence
	objects      string // () → kind and name of indexes, triggers and views, in lower case
	integrity    string // () → lines that the database says of its file, "ok" if all is well; "" if it has no such statement

	lowest int64    // no seq is below it
	wanted []string // what objects must contain
}

// verifyTimeout bounds a statement of Verify: one that reads all events takes as long as it takes.
const verifyTimeout = 7 * 24 * time.Hour

// Verify reads the whole database and compares it with itself, with the payloads and with the rules. It takes no lease and
// writes nothing, and sees one state of the database while a server goes on. Its memory does not grow with the number of
// messages.
//
// An error means that the database could not be verified: it is ErrUnavailable, ErrTooNew, a *SchemaError, fs.ErrNotExist for
// a file of SQLite that is not there, or that of ctx.
func Verify(ctx context.Context, o Options, v Verification) (*Report, error) {
	o = o.withDefaults()
	o.StatementTimeout, o.patient = verifyTimeout, true
	d, err := newDialect(o)
	if err != nil {
		return nil, err
	}
	if o.Driver == "sqlite" {
		// SQLite would make it.
		if _, err := os.Stat(o.Source); err != nil {
			return nil, fmt.Errorf("open sqlite database: %w", err)
		}
	}
	writer, reader, err := d.open(o)
	if err != nil {
		return nil, fmt.Errorf("open %s database: %w", o.Driver, oneLine(err))
	}
	defer writer.Close()
	defer reader.Close()
	if err := d.check(ctx, reader, o.Logger); err != nil {
		return nil, unavailable(ctx, err)
	}
	version, err := verifiable(ctx, d, reader, o.Driver)
	if err != nil {
		return nil, err
	}
	tx, err := reader.BeginTx(ctx, d.snapshot())
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	defer tx.Rollback()
	c := &check{
		Verification: v,
		dialect:      d,
		texts:        d.verifyTexts(),
		q:            &snapshotReader{tx, map[string]*sql.Stmt{}},
		workers:      runtime.GOMAXPROCS(0),
		report:       &Report{Driver: o.Driver, Schema: version},
		findings:     newFindings(v.Limit),
		notes:        newFindings(v.Limit),
		channels:     map[int64]*channelCheck{},
	}
	if err := c.run(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, unavailable(ctx, err)
	}
	return c.finish(), nil
}

// fileDialect is a dialect that reads the file itself. corrupt says whether an error is that of a page that is none.
type fileDialect interface{ corrupt(error) bool }

// verifiable returns the version of the schema, which is the one that this program knows.
func verifiable(ctx context.Context, d dialect, db *sql.DB, driver string) (int64, error) {
	files, err := schema.Files(driver)
	if err != nil {
		return 0, err
	}
	needed := files[len(files)-1].Version
	version, err := d.version(ctx, db)
	switch {
	case err != nil:
		return 0, unavailable(ctx, fmt.Errorf("read schema version: %w", err))
	case version > needed:
		return 0, fmt.Errorf("%w: it is at version %d, this server knows %d", ErrTooNew, version, needed)
	case version < needed:
		behind := &SchemaError{Version: version, Needed: needed}
		for _, file := range files {
			if file.Version > version {
				behind.Files = append(behind.Files, file.Path)
			}
		}
		return 0, behind
	}
	return version, nil
}

// snapshotReader reads in the transaction of Verify. What has parameters is asked again and again, and so prepared, without
// which PostgreSQL would also send bytes as hexadecimal digits.
type snapshotReader struct {
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
}

func (s *snapshotReader) query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	if len(args) > 0 && s.prepared[text] == nil {
		stmt, err := s.tx.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with its transaction
		if err != nil {
			return err
		}
		s.prepared[text] = stmt
	}
	var rows *sql.Rows
	var err error
	if stmt := s.prepared[text]; stmt != nil {
		rows, err = stmt.QueryContext(ctx, args...)
	} else {
		rows, err = s.tx.QueryContext(ctx, text, args...)
	}
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// check is one call of Verify.
type check struct {
	Verification
	dialect dialect
	texts   *verifyTexts
	q       querier
	workers int

	report          *Report
	findings, notes *findings
	channels        map[int64]*channelCheck // by Channels.id, deleted ones included
	order           []*channelCheck         // by id
	total           uint64                  // messages, as the counters have it
}

func (c *check) run(ctx context.Context) error {
	for _, step := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"schema", c.schema},
		{"file", c.integrity},
		{"server", c.server},
		{"lease", c.lease},
		{"channels", c.readChannels},
		{"state of clients and subscriptions", c.state},
		{"messages", c.messages},
		{"messages without a channel", c.orphans},
		{"versions", c.chains},
		{"event_ids", c.eventIDs},
	} {
		err := step.run(ctx)
		if d, ok := c.dialect.(fileDialect); ok && err != nil && d.corrupt(err) {
			c.findings.add("file", "", step.what, "%v", err) // other steps may not meet it
			continue
		}
		if err != nil {
			return fmt.Errorf("verify %s: %w", step.what, err)
		}
	}
	return nil
}

func (c *check) progress(phase string, done, total uint64) {
	if c.Progress != nil {
		c.Progress(phase, done, max(done, total))
	}
}

func (c *check) finish() *Report {
	c.report.Findings, c.report.FindingCount = c.findings.sorted(), c.findings.counts
	c.report.Notes, c.report.NoteCount = c.notes.sorted(), c.notes.counts
	return c.report
}

// keyColumns name a row, each in its table.
var keyColumns = []string{"id", "seq", "subid", "row", "uniquerow"}

// scanned scans a row; one whose values have types that its columns should not hold is a finding, and reported as false.
// Such a row can exist on SQLite, and where somebody changed a column's type.
func (c *check) scanned(rows *sql.Rows, table string, to ...any) (bool, error) {
	return c.scannedOf("", rows, table, to...)
}

// scannedOf is scanned of rows whose keys begin with what they were selected by.
func (c *check) scannedOf(of string, rows *sql.Rows, table string, to ...any) (bool, error) {
	err := rows.Scan(to...)
	if err == nil {
		return true, nil
	}
	raw := make([]any, len(to))
	pointers := make([]any, len(to))
	for i := range raw {
		pointers[i] = &raw[i]
	}
	if again := rows.Scan(pointers...); again != nil {
		return false, errors.Join(err, again)
	}
	columns, again := rows.Columns()
	if again != nil {
		return false, errors.Join(err, again)
	}
	var key []string
	for i, name := range columns {
		if b, ok := raw[i].([]byte); ok {
			raw[i] = string(b)
		}
		if name = strings.ToLower(name); slices.Contains(keyColumns, name) {
			key = append(key, fmt.Sprintf("%s %.100q", name, fmt.Sprint(raw[i])))
		}
	}
	c.findings.add("foreign row", table, of+strings.Join(key, ", "), "a column holds what it should not: %v", err)
	return false, nil
}
