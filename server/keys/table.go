package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

const (
	statementTimeout = 5 * time.Second
	connLifetime     = 30 * time.Minute
	connections      = 4
	// perStatement bounds the subjects or keys of a statement.
	perStatement = 100
)

// table is the database of the keys.
type table struct {
	driver      string
	write, read *sql.DB
}

// row is a version of a subject's key. wrapped is nil once the subject was forgotten.
type row struct {
	subject   string
	version   int64
	wrapped   []byte
	created   int64 // ns since 1970, like forgotten, which is 0 if it was not
	forgotten int64
}

func (r *row) name() string { return r.subject + "." + strconv.FormatInt(r.version, 10) }

// createStatements make the tables. They can run again.
var createStatements = map[string][]string{
	"sqlite": {
		`CREATE TABLE IF NOT EXISTS KeyRings (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, wrapped BLOB NOT NULL, wrapped_at INTEGER NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS SubjectKeys (subject TEXT NOT NULL, version INTEGER NOT NULL, wrapped BLOB, created_at INTEGER NOT NULL,
			forgotten_at INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (subject, version)) WITHOUT ROWID`,
	},
	"postgres": {
		`CREATE TABLE IF NOT EXISTS KeyRings (id INT PRIMARY KEY, generation BIGINT NOT NULL, wrapped BYTEA NOT NULL, wrapped_at BIGINT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS SubjectKeys (subject TEXT COLLATE "C" NOT NULL, version BIGINT NOT NULL, wrapped BYTEA, created_at BIGINT NOT NULL,
			forgotten_at BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (subject, version))`,
	},
	"mysql": {
		`CREATE TABLE IF NOT EXISTS KeyRings (id INT PRIMARY KEY, generation BIGINT NOT NULL, wrapped BLOB NOT NULL, wrapped_at BIGINT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS SubjectKeys (subject VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, version BIGINT NOT NULL,
			wrapped VARBINARY(255), created_at BIGINT NOT NULL, forgotten_at BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (subject, version))`,
	},
}

// openTable opens the database without connecting yet. The error is about the source.
func openTable(driver, source string) (*table, error) {
	o := sqlconn.Options{Source: source, ConnMaxLifetime: connLifetime, StatementTimeout: statementTimeout}
	t := &table{driver: driver}
	var err error
	switch driver {
	case "sqlite":
		t.write, t.read, err = sqlconn.SQLite(o, connections)
	case "postgres":
		t.write, t.read, err = sqlconn.Postgres(o, connections, connections)
	case "mysql":
		t.write, err = sqlconn.MySQL(o, connections, false)
		t.read = t.write
	default:
		err = fmt.Errorf("driver %q must be sqlite, postgres or mysql", driver)
	}
	return t, err
}

func (t *table) close() {
	_ = t.write.Close()
	_ = t.read.Close()
}

// create makes the tables. It refuses the database of an event log.
func (t *table) create(ctx context.Context) error {
	if _, err := t.write.ExecContext(ctx, `SELECT 1 FROM StoreLock WHERE 1 = 0`); err == nil {
		return errSameDatabase
	}
	if _, err := t.readRing(ctx); err == nil {
		return nil // a role that may not create tables can use them
	}
	for _, text := range createStatements[t.driver] {
		_, err := t.write.ExecContext(ctx, text)
		if err != nil && !sqlconn.Lost(err) {
			_, err = t.write.ExecContext(ctx, text) // PostgreSQL: another server was faster
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errSameDatabase = errors.New("keys.source is a database of events, whose backups would bring forgotten keys back: name another database")

// ring is the row of the ring.
type ring struct {
	generation int64
	wrapped    []byte
	wrappedAt  int64
}

// readRing returns the ring, nil if there is none.
func (t *table) readRing(ctx context.Context) (*ring, error) {
	var r ring
	err := t.read.QueryRowContext(ctx, `SELECT generation, wrapped, wrapped_at FROM KeyRings WHERE id = 1`).Scan(&r.generation, &r.wrapped, &r.wrappedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// addRing adds the first ring. If another server was faster, the error says so.
func (t *table) addRing(ctx context.Context, wrapped []byte, now int64) error {
	_, err := t.write.ExecContext(ctx, t.bind(`INSERT INTO KeyRings (id, generation, wrapped, wrapped_at) VALUES (1, 1, ?, ?)`), wrapped, now)
	return err
}

// current returns the newest usable keys of subjects.
func (t *table) current(ctx context.Context, subjects []string) (map[string]row, error) {
	found := map[string]row{}
	err := t.rows(ctx, subjects, `SELECT subject, version, wrapped, created_at, forgotten_at FROM SubjectKeys
		WHERE subject IN (%s) AND forgotten_at = 0 ORDER BY subject, version`, func(r row) { found[r.subject] = r })
	return found, err
}

// all returns all versions of subjects, in order.
func (t *table) all(ctx context.Context, subjects []string) (found []row, err error) {
	err = t.rows(ctx, subjects, `SELECT subject, version, wrapped, created_at, forgotten_at FROM SubjectKeys
		WHERE subject IN (%s) ORDER BY subject, version`, func(r row) { found = append(found, r) })
	return found, err
}

// after returns up to n keys after a subject and version, without their material.
func (t *table) after(ctx context.Context, subject string, version int64, n int) (found []row, err error) {
	rows, err := t.read.QueryContext(ctx, t.bind(`SELECT subject, version, NULL, created_at, forgotten_at FROM SubjectKeys
		WHERE subject > ? OR subject = ? AND version > ? ORDER BY subject, version LIMIT `+strconv.Itoa(n)), subject, subject, version)
	if err != nil {
		return nil, err
	}
	return found, scanRows(rows, func(r row) { found = append(found, r) })
}

func (t *table) rows(ctx context.Context, subjects []string, text string, each func(row)) error {
	for len(subjects) > 0 {
		n := min(len(subjects), perStatement)
		args := make([]any, n)
		for i := range args {
			args[i] = subjects[i]
		}
		rows, err := t.read.QueryContext(ctx, t.bind(fmt.Sprintf(text, marks(n))), args...)
		if err == nil {
			err = scanRows(rows, each)
		}
		if err != nil {
			return err
		}
		subjects = subjects[n:]
	}
	return nil
}

func scanRows(rows *sql.Rows, each func(row)) error {
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.subject, &r.version, &r.wrapped, &r.created, &r.forgotten); err != nil {
			return err
		}
		each(r)
	}
	return rows.Err()
}

// add adds keys that were wrapped for a generation of the ring. A key of the same name that exists is an error, and errChanged is one.
func (t *table) add(ctx context.Context, generation int64, all []row) error {
	return t.inTx(ctx, func(tx *sql.Tx) error {
		if err := t.holdRing(ctx, tx, generation); err != nil {
			return err
		}
		for len(all) > 0 {
			n := min(len(all), perStatement)
			args := make([]any, 0, 4*n)
			for _, r := range all[:n] {
				args = append(args, r.subject, r.version, r.wrapped, r.created)
			}
			values := strings.Repeat(", (?, ?, ?, ?)", n)[2:]
			if _, err := tx.ExecContext(ctx, t.bind(`INSERT INTO SubjectKeys (subject, version, wrapped, created_at) VALUES `+values), args...); err != nil {
				return err
			}
			all = all[n:]
		}
		return nil
	})
}

// holdRing keeps others from wrapping keys anew until the transaction ends. What was wrapped for another generation may be wrapped by
// a secret that is gone.
func (t *table) holdRing(ctx context.Context, tx *sql.Tx, generation int64) error {
	text := `SELECT generation FROM KeyRings WHERE id = 1 FOR UPDATE`
	if t.driver == "sqlite" { // its transaction holds the database
		text = `SELECT generation FROM KeyRings WHERE id = 1`
	}
	var now int64
	if err := tx.QueryRowContext(ctx, text).Scan(&now); err != nil {
		return err
	}
	if now != generation {
		return errChanged
	}
	return nil
}

// renew adds a version of a subject's key, from which on servers use it, and returns the generation of the ring then.
func (t *table) renew(ctx context.Context, generation int64, r row) (next int64, err error) {
	err = t.inTx(ctx, func(tx *sql.Tx) error {
		if err := t.holdRing(ctx, tx, generation); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, t.bind(`INSERT INTO SubjectKeys (subject, version, wrapped, created_at) VALUES (?, ?, ?, ?)`),
			r.subject, r.version, r.wrapped, r.created)
		if err != nil {
			return err
		}
		next, err = nextGeneration(ctx, tx)
		return err
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// forget deletes the material of the versions of a subject's key up to one. It returns how many there were, and the generation of the ring
// then; 0 if there were none.
func (t *table) forget(ctx context.Context, subject string, upTo, now int64) (forgotten, generation int64, err error) {
	err = t.inTx(ctx, func(tx *sql.Tx) error {
		if err := t.overwrite(ctx, tx); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, t.bind(`UPDATE SubjectKeys SET wrapped = NULL, forgotten_at = ? WHERE subject = ? AND forgotten_at = 0 AND version <= ?`), now, subject, upTo)
		if err == nil {
			forgotten, err = result.RowsAffected()
		}
		if err != nil || forgotten == 0 {
			return err
		}
		generation, err = nextGeneration(ctx, tx)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	if forgotten > 0 {
		err = t.scrub(ctx)
	}
	return forgotten, generation, err
}

// bury adds the tombstone of a version that the table no longer knows.
func (t *table) bury(ctx context.Context, r row) error {
	_, err := t.write.ExecContext(ctx, t.bind(`INSERT INTO SubjectKeys (subject, version, created_at, forgotten_at) VALUES (?, ?, ?, ?)`),
		r.subject, r.version, r.created, r.forgotten)
	return err
}

// scrub takes what was deleted out of the files of the database. Only SQLite lets a client do it.
func (t *table) scrub(ctx context.Context) error {
	if t.driver != "sqlite" {
		return nil
	}
	_, err := t.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}

// rewrap replaces the wrapped secret of the ring, and the material of all keys, in one transaction.
func (t *table) rewrap(ctx context.Context, generation int64, wrapped []byte, now int64, each func(*row) error) (keys int, err error) {
	err = t.inTx(ctx, func(tx *sql.Tx) error {
		if err := t.overwrite(ctx, tx); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, t.bind(`UPDATE KeyRings SET generation = generation + 1, wrapped = ?, wrapped_at = ? WHERE id = 1 AND generation = ?`), wrapped, now, generation)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errChanged)
		}
		rows, err := tx.QueryContext(ctx, `SELECT subject, version, wrapped, created_at, forgotten_at FROM SubjectKeys WHERE forgotten_at = 0`)
		if err != nil {
			return err
		}
		var all []row
		if err := scanRows(rows, func(r row) { all = append(all, r) }); err != nil {
			return err
		}
		for i := range all {
			if err := each(&all[i]); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, t.bind(`UPDATE SubjectKeys SET wrapped = ? WHERE subject = ? AND version = ?`), all[i].wrapped, all[i].subject, all[i].version); err != nil {
				return err
			}
		}
		keys = len(all)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return keys, t.scrub(ctx)
}

// overwrite makes SQLite overwrite what the transaction deletes.
func (t *table) overwrite(ctx context.Context, tx *sql.Tx) error {
	if t.driver != "sqlite" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `PRAGMA secure_delete = ON`)
	return err
}

// errChanged means that keys were forgotten or renewed meanwhile, or all were wrapped anew.
var errChanged = errors.New("the key table changed meanwhile: try again")

// nextGeneration begins a generation of the ring, whose row is locked until the transaction ends, and returns it.
func nextGeneration(ctx context.Context, tx *sql.Tx) (generation int64, err error) {
	if _, err := tx.ExecContext(ctx, `UPDATE KeyRings SET generation = generation + 1 WHERE id = 1`); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, `SELECT generation FROM KeyRings WHERE id = 1`).Scan(&generation)
	return generation, err
}

func (t *table) inTx(ctx context.Context, work func(*sql.Tx) error) error {
	tx, err := t.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func marks(n int) string { return strings.Repeat(", ?", n)[2:] }

// bind writes the placeholders of a statement as its driver takes them.
func (t *table) bind(text string) string {
	if t.driver != "postgres" {
		return text
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, ok := strings.Cut(text, "?")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		text = after
	}
}
