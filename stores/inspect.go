package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// Inspection looks at a database of any schema version without changing it.
type Inspection struct {
	Version int64    // of the schema; 0 for a database of NATS Streaming or an empty one
	Needed  int64    // by this program; lower than Version if Check found a newer schema
	Files   []string // migrations that Open would run, in order
	// Channels are those of the database, in the order of their creation. Their Info has only First and Last, plus Msgs
	// and Bytes if the schema counts them.
	Channels []*Channel
	// Unnumbered is how many events have no position yet, at most, because only older servers have used the database.
	Unnumbered uint64
	// Server, Importing and Moved are those of State; nil in a database without the tables.
	Server, Importing, Moved *spb.ServerInfo
	// ValueLimit is that of Store.
	ValueLimit ValueLimit

	dialect       dialect
	writer        *sql.DB
	reader        *handle
	tables        bool // the database has tables of NATS Streaming
	lease, events bool // it has a table StoreLock; Messages has event columns
}

const (
	// Both texts work on every database and every schema version.
	inspectChannels = "SELECT id, name, (SELECT MIN(seq) FROM Messages WHERE id = c.id), (SELECT MAX(seq) FROM Messages WHERE id = c.id) FROM Channels AS c WHERE deleted = FALSE ORDER BY id"
	inspectCounters = "SELECT id, msgs, bytes FROM Channels"
	// eventColumns is the first schema version that has event columns.
	eventColumns = 2
	// positionColumns is the first schema version that has positions.
	positionColumns = 10
)

// Inspect connects and fills an Inspection; Close ends it. The errors are those of Open and of its migration, which it tries:
// on MySQL with a table that it creates and drops. It returns fs.ErrNotExist for a missing SQLite file.
func Inspect(ctx context.Context, o Options) (*Inspection, error) {
	return inspect(ctx, o, schemaToMigrate)
}

// inspect is Inspect of databases whose schema "of" accepts.
func inspect(ctx context.Context, o Options, of func(context.Context, dialect, *sql.DB, Options) (schema, error)) (*Inspection, error) {
	o = o.withDefaults()
	d, err := newDialect(o)
	if err != nil {
		return nil, err
	}
	if o.Driver == "sqlite" {
		// SQLite would create it.
		if _, err := os.Stat(o.Source); err != nil {
			return nil, fmt.Errorf("open sqlite database: %w", err)
		}
	}
	writer, reader, err := d.open(o)
	if err != nil {
		return nil, openError(o, err)
	}
	i := &Inspection{dialect: d, writer: writer, reader: &handle{db: reader, timeout: o.StatementTimeout, dialect: d}}
	found, err := of(ctx, d, writer, o)
	if err == nil {
		err = i.look(ctx, o, found)
	}
	if err != nil {
		return nil, errors.Join(openError(o, err), i.Close())
	}
	return i, nil
}

func (i *Inspection) look(ctx context.Context, o Options, found schema) (err error) {
	i.Version, i.Needed, i.Files = found.version, found.known, found.missing()
	if err := i.dialect.check(ctx, i.writer, i.reader.db, o.Logger); err != nil {
		return err
	}
	if err := checkWrites(ctx, i.dialect, i.writer); err != nil {
		return err
	}
	if len(i.Files) == 0 {
		if err = checkLayout(ctx, i.dialect, o.Driver, i.reader, i.Version); err == nil {
			err = brokenTriggers(ctx, i.dialect, i.writer)
		}
	} else {
		err = checkMigration(ctx, i.dialect, i.writer, o, i.Version)
	}
	if err != nil {
		return err
	}
	if i.lease, err = i.dialect.hasTable(ctx, i.reader, "StoreLock"); err != nil {
		return err
	}
	if i.tables, err = i.dialect.hasTable(ctx, i.reader, "Channels"); err != nil || !i.tables {
		return err
	}
	i.events = i.Version >= eventColumns
	if err := i.channels(ctx); err != nil {
		return err
	}
	return i.unnumbered(ctx)
}

// unnumbered fills Unnumbered.
func (i *Inspection) unnumbered(ctx context.Context) error {
	numbered := false
	if i.Version >= positionColumns {
		if err := i.reader.query(ctx, i.dialect.statements().givenPosition, func(rows *sql.Rows) error {
			var given sql.NullInt64
			err := rows.Scan(&given)
			numbered = given.Valid
			return err
		}); err != nil {
			return err
		}
	}
	if i.events && !numbered {
		for _, c := range i.Channels {
			i.Unnumbered += c.Info().Msgs
		}
	}
	return nil
}

// identity reads ServerInfo.
func (i *Inspection) identity(ctx context.Context) error {
	var r recovery
	if err := i.reader.query(ctx, i.dialect.statements().serverInfo, r.server); err != nil {
		return err
	}
	i.Server, i.Importing, i.Moved = r.state.Server, r.state.Importing, r.state.Moved
	return nil
}

// Check returns what Inspect does, and the errors of opening the database for writing. Like Open, it accepts a newer schema that has what
// this program needs. It returns nil for an SQLite file that Open would create.
func Check(ctx context.Context, o Options) (*Inspection, error) {
	if o.Driver == "sqlite" {
		if created, err := checkSQLiteFile(o.Source); created || err != nil {
			return nil, err
		}
	}
	i, err := inspect(ctx, o, schemaToServe)
	if err != nil {
		return nil, err
	}
	if err := i.writable(ctx); err != nil {
		return nil, errors.Join(openError(o, err), i.Close())
	}
	return i, nil
}

// checkSQLiteFile returns an error if the user may not write an SQLite database and the files beside it, and whether Open would
// create it.
func checkSQLiteFile(source string) (created bool, err error) {
	if err := sqlconn.CheckPath(source); err != nil {
		return false, openError(Options{Driver: "sqlite"}, err)
	}
	dir := filepath.Dir(source)
	beside, err := os.CreateTemp(dir, "eventstore-check-")
	if err == nil {
		err = errors.Join(beside.Close(), os.Remove(beside.Name()))
	}
	var at *fs.PathError
	if errors.As(err, &at) { // its file means nothing to an operator
		err = &fs.PathError{Op: "create a file in", Path: dir, Err: at.Err}
	}
	if err == nil {
		var file *os.File
		if file, err = os.OpenFile(source, os.O_RDWR, 0); errors.Is(err, os.ErrNotExist) {
			return true, nil
		}
		if err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		return false, openError(Options{Driver: "sqlite"}, err)
	}
	return false, nil
}

// writable returns the errors that Open has after those of Inspect.
func (i *Inspection) writable(ctx context.Context) error {
	if i.tables {
		if err := i.identity(ctx); err != nil {
			return err
		}
	}
	i.ValueLimit = i.dialect.valueLimit()
	if len(i.Files) > 0 {
		return nil // Inspect has tried the migration
	}
	_, err := prepareWrites(ctx, i.dialect, i.writer)
	return err
}

func (i *Inspection) channels(ctx context.Context) error {
	byID := map[int64]*Channel{}
	err := i.reader.query(ctx, inspectChannels, func(rows *sql.Rows) error {
		c := &Channel{}
		var first, last sql.NullInt64
		if err := rows.Scan(&c.id, &c.name, &first, &last); err != nil {
			return err
		}
		c.info.First, c.info.Last = uint64(first.Int64), uint64(last.Int64)
		i.Channels = append(i.Channels, c)
		byID[c.id] = c
		return nil
	})
	if err != nil || !i.events {
		return err
	}
	return i.reader.query(ctx, inspectCounters, func(rows *sql.Rows) error {
		var id int64
		var msgs, bytes uint64
		if err := rows.Scan(&id, &msgs, &bytes); err != nil {
			return err
		}
		if c := byID[id]; c != nil {
			c.info.Msgs, c.info.Bytes = msgs, bytes
		}
		return nil
	})
}

// Lease returns the holder of the database's lease. It returns the zero Lease if there is no holder or the holder is
// dead; see Store.TryLease.
func (i *Inspection) Lease(ctx context.Context) (Lease, error) {
	if !i.lease {
		return Lease{}, nil
	}
	var lease Lease
	err := i.reader.query(ctx, i.dialect.statements().readLease, func(rows *sql.Rows) error {
		var holder sql.NullString
		err := rows.Scan(&holder, &lease.Tick)
		lease.Holder = holder.String
		return err
	})
	if err != nil {
		return Lease{}, unavailable(ctx, fmt.Errorf("read lease: %w", err))
	}
	if isDead(lease.Holder) || i.unlocked(lease.Holder) {
		return Lease{}, nil
	}
	return lease, nil
}

// unlocked reports whether a live holder would lock the database and nothing does.
func (i *Inspection) unlocked(id string) bool {
	_, locks := holder(id)
	l, ok := i.dialect.(locker)
	if !locks || !ok || l.lock() != nil {
		return false
	}
	l.unlock()
	return true
}

// Events predicts what Store.Backfill finds. It calls each for every message of the channel without event columns, with
// its sequence and an error if it is not an event. It does not check what depends on other messages: repeated event_ids
// and versions.
func (i *Inspection) Events(ctx context.Context, c *Channel, mapping *proto.Mapping, each func(sequence uint64, err error)) error {
	info := c.Info()
	text := i.dialect.plainMessages(i.events)
	for from := info.First; from > 0 && from <= info.Last; {
		messages, next, err := readPlain(ctx, i.reader, text, c.id, info, from, info.Last)
		if err != nil {
			return fmt.Errorf("read channel %q from sequence %d: %w", c.name, from, unavailable(ctx, err))
		}
		for _, m := range messages {
			_, _, _, err := extract(m.data, mapping)
			each(m.sequence, err)
		}
		from = next
	}
	return nil
}

// Close ends the connections.
func (i *Inspection) Close() error {
	err := i.writer.Close()
	if i.reader.db != i.writer {
		err = errors.Join(err, i.reader.db.Close())
	}
	return err
}
