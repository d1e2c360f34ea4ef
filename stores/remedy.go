package stores

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/lib/pq"
	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	triggersRemedy = "as the owner of the tables, run sql/mysql/00003_immutable.sql and sql/mysql/00008_channels.sql"
	roomRemedy     = "the disk of the database is full: make room there, and it goes on"
	restoreRemedy  = "somebody dropped it or changed its name: stop the server and restore a backup"
)

// openError completes an error of opening a database. A file is that of SQLite, or one of TLS.
func openError(o Options, err error) error {
	err = oneLine(err)
	var file *fs.PathError
	switch isFile := errors.As(err, &file); {
	case isFile && o.Driver == "sqlite":
		err = fmt.Errorf("%w: this user must be able to write the directory: create or chown it, or name another", err)
	case isFile:
		err = fmt.Errorf("%w: -sql_source names this file: let this user read it, or name another", err)
	default:
		err = withRemedy(err)
	}
	return fmt.Errorf("open %s database: %w", o.Driver, err)
}

// withRemedy adds to an error of a database what an administrator can do about it.
func withRemedy(err error) error {
	if remedy := remedyOf(err); remedy != "" && !strings.Contains(err.Error(), remedy) {
		return fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}

func remedyOf(err error) string {
	const password = "check user and password; in a URL, a password has @ as %40, / as %2F, # as %23 and % as %25"
	var postgres *pq.Error
	var mysql *mysqldriver.MySQLError
	var sqlite *sqlitedriver.Error
	var host *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start the database, or check host and port in -sql_source"
	case errors.As(err, &host):
		return "check the host in -sql_source"
	case errors.Is(err, pq.ErrSSLNotSupported):
		return "turn TLS on there, or add ?sslmode=disable to -sql_source if nobody can listen on the way"
	case errors.As(err, &postgres):
		switch postgres.Code {
		case "3D000": // invalid_catalog_name
			return "CREATE DATABASE with ENCODING 'UTF8', or name another in -sql_source"
		case "28P01": // invalid_password
			return password
		case "0A000": // feature_not_supported, at the start of a session
			return "CREATE DATABASE with ENCODING 'UTF8'"
		case "53100": // disk_full
			return roomRemedy
		case "42P01", "42703": // undefined_table, undefined_column
			return restoreRemedy
		case "42501": // insufficient_privilege
			return "run sql/roles/postgres_grants.sql again"
		}
	case errors.As(err, &mysql):
		switch mysql.Number {
		case 1049: // unknown database
			return "CREATE DATABASE, or name another in -sql_source"
		case 1045: // access denied
			return "check user and password; write the password as it is, without escapes"
		case 1449: // the definer of a trigger does not exist
			return triggersRemedy
		case 1021, 1114: // disk full, table full
			return roomRemedy
		case 1030: // any error of the engine: MariaDB rebuilds a table on a full disk
			return "the disk of the database may be full: make room there, or read its log"
		case 1054, 1146: // unknown column, unknown table
			return restoreRemedy
		case 1142, 1143: // no right to a table, to a column
			return "run sql/roles/mysql_grants.sql again"
		}
	case errors.As(err, &sqlite):
		if sqlite.Code() == sqlite3.SQLITE_IOERR_SHMSIZE {
			return roomRemedy
		}
		switch sqlite.Code() & 0xff {
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
			return "this user must own the database, or be able to write its files and their directory"
		case sqlite3.SQLITE_FULL:
			return roomRemedy
		case sqlite3.SQLITE_NOTADB:
			return "the file is not an SQLite database: move it away, or name another"
		}
	}
	return ""
}
