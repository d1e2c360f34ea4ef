package sqlconn

import (
	"database/sql"
	"net/url"
	"path/filepath"

	sqlitedriver "modernc.org/sqlite"
)

// settings of a connection. FULL makes COMMIT return after the log is on disk. The log moves into the database after
// 4,000 pages, 16 MB. The caches, in KiB, hold the upper levels of a large store's indexes. A reader's cache is small:
// there are many readers, and a replay sees each page once. Figures: docs/decisions/2026-11-21-sqlite-settings.md.
const (
	sqliteSettings   = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)"
	sqliteWriterMore = "&_pragma=cache_size(-16384)&_pragma=journal_size_limit(67108864)" + // of the log, which a store keeps below that
		"&_pragma=secure_delete(FAST)" // what moves to another page is overwritten in the one before, so that an erasure can find all of it
	sqliteReaderCache = "&_pragma=cache_size(-4096)"
)

// SQLite returns two pools. One has a single connection that writes, in transactions that lock the file when they
// begin. The other has up to readers connections that read at the same time. In memory both are the same. SQLite
// creates the file and its folder, but does not connect yet.
func SQLite(o Options, readers int) (write, read *sql.DB, err error) {
	if o.Source == ":memory:" {
		connector, err := sqlitedriver.NewConnector("file::memory:?_txlock=immediate")
		if err != nil {
			return nil, nil, err
		}
		db := o.open(connector, 1)
		// The database exists as long as the connection.
		db.SetConnMaxLifetime(0)
		return db, db, nil
	}
	if err := CheckPath(o.Source); err != nil {
		return nil, nil, err
	}
	if err := createFile(o.Source); err != nil {
		return nil, nil, err
	}
	writer, err := sqlitedriver.NewConnector(sqliteURI(o.Source) + "?_txlock=immediate&" + sqliteSettings + sqliteWriterMore)
	if err != nil {
		return nil, nil, err
	}
	if read, err = SQLiteReader(o, readers); err != nil {
		return nil, nil, err
	}
	return o.open(writer, 1), read, nil
}

// SQLiteReader returns a pool of up to size read-only connections to a file.
func SQLiteReader(o Options, size int) (*sql.DB, error) {
	connector, err := sqlitedriver.NewConnector(sqliteURI(o.Source) + "?_query_only=1&" + sqliteSettings + sqliteReaderCache)
	if err != nil {
		return nil, err
	}
	return o.open(connector, size), nil
}

func sqliteURI(path string) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
}

// SQLiteCopy returns a pool of up to size connections to a file that nobody changes. SQLite then needs neither a log nor locks.
func SQLiteCopy(o Options, size int) (*sql.DB, error) {
	connector, err := sqlitedriver.NewConnector(sqliteURI(o.Source) + "?mode=ro&immutable=1&_query_only=1&" + sqliteReaderCache[1:])
	if err != nil {
		return nil, err
	}
	return o.open(connector, size), nil
}

// SQLiteQuestions returns a connection that cannot change the file, nor create it.
func SQLiteQuestions(o Options) (*sql.DB, error) {
	if err := CheckPath(o.Source); err != nil {
		return nil, err
	}
	connector, err := sqlitedriver.NewConnector(sqliteURI(o.Source) + "?mode=ro&_query_only=1&_pragma=busy_timeout(5000)" + sqliteReaderCache)
	if err != nil {
		return nil, err
	}
	return o.open(connector, 1), nil
}
