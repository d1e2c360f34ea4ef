package ask

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

func TestMain(m *testing.M) { databases.Main(m) }

// fill makes a table of 1,000 numbers, and returns options for questions about it.
func fill(t *testing.T, driver, source string) Options {
	t.Helper()
	db := open(t, driver, source)
	for _, text := range []string{"CREATE TABLE numbers (n INTEGER PRIMARY KEY)", "INSERT INTO numbers WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000) SELECT n FROM c"} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	return Options{Driver: driver, Source: reader(t, db, driver, source), Timeout: 20 * time.Second, Rows: 10, Bytes: 100}
}

// roles counts the roles that tests have made.
var roles atomic.Int32

// reader makes a role that may read the table, and returns its source.
func reader(t *testing.T, db *sql.DB, driver, source string) string {
	t.Helper()
	role := fmt.Sprintf("reader%d", roles.Add(1))
	var grants, drops []string
	switch driver {
	case "sqlite":
		return source
	case "postgres":
		grants = []string{"CREATE ROLE " + role + " LOGIN PASSWORD 'secret'", "GRANT SELECT ON numbers TO " + role}
		drops = []string{"DROP OWNED BY " + role, "DROP ROLE " + role}
	case "mysql":
		grants = []string{"CREATE USER '" + role + "'@'%' IDENTIFIED BY 'secret'", "GRANT SELECT ON numbers TO '" + role + "'@'%'"}
		drops = []string{"DROP USER '" + role + "'@'%'"}
	}
	for _, text := range grants {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, text := range drops {
			if _, err := db.Exec(text); err != nil {
				t.Error(err)
			}
		}
	})
	return strings.Replace(source, "eventstore:secret@", role+":secret@", 1)
}

func open(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestAsk(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		o := fill(t, driver, source)
		a, err := Ask(t.Context(), o, "-- the first ones\n/* of all */ SELECT n, NULL AS missing FROM numbers ORDER BY n ;; ")
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Rows) != 10 || !a.More || strings.Join(a.Columns, ",") != "n,missing" || a.Rows[9][0].Text != "10" || !a.Rows[9][1].Null {
			t.Errorf("%+v", a)
		}
		if a, err = Ask(t.Context(), o, "SELECT n FROM numbers WHERE n > 995 ORDER BY n"); err != nil || len(a.Rows) != 5 || a.More {
			t.Errorf("%+v, %v", a, err)
		}
		long := map[string]string{"postgres": "SELECT repeat('x', 200)", "mysql": "SELECT repeat('x', 200)", "sqlite": "SELECT printf('%.200c', 'x')"}[driver]
		if a, err = Ask(t.Context(), o, long); err != nil || len(a.Rows[0][0].Text) != 100 || !a.Rows[0][0].Cut {
			t.Errorf("a long value: %+v, %v", a, err)
		}
	})
}

// TestHostileQuestions asks for what is not to be had.
func TestHostileQuestions(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "other.db")
	written := filepath.Join(t.TempDir(), "written")
	refused := map[string][]string{
		"postgres": {
			"WITH gone AS (DELETE FROM numbers RETURNING n) SELECT * FROM gone", "SELECT 1; DELETE FROM numbers", "SELECT 1; COMMIT; DELETE FROM numbers",
			"SELECT n FROM numbers FOR UPDATE", "SELECT set_config('transaction_read_only', 'off', true)", "SELECT pg_read_file('/etc/passwd')",
			"SELECT * INTO taken FROM numbers", "SELECT lo_import('/etc/passwd')",
		},
		"mysql": {
			"SELECT 1; DELETE FROM numbers", "SELECT n FROM numbers INTO OUTFILE '" + written + "'", "WITH c AS (SELECT 1) DELETE FROM numbers",
			"SELECT n FROM numbers FOR UPDATE", "SELECT n FROM numbers LOCK IN SHARE MODE", "SELECT n FROM numbers lock/**/in -- \n share mode", "SELECT * FROM (SELECT n FROM numbers FOR\tUPDATE) AS all_of",
			"SELECT n FROM numbers /*!50000 FOR UPDATE */", "SELECT n FROM numbers /*M! FOR UPDATE */", "SELECT n FROM numbers LOCK #\n\vIN SHARE MODE",
		},
		"sqlite": {
			"WITH c AS (SELECT 1) DELETE FROM numbers", "SELECT 1; DELETE FROM numbers", "SELECT 1; ATTACH '" + secret + "' AS other",
			"SELECT * FROM pragma_database_list", "SELECT load_extension('x')", "SELECT randomblob(1000000000)", "SELECT 1; PRAGMA query_only = 0",
		},
	}
	never := []string{"", ";", "DELETE FROM numbers", "COPY numbers TO '/tmp/x'", "ATTACH 'x' AS y", "PRAGMA query_only = 0", "VACUUM INTO '" + written + "'", "-- SELECT", "/* SELECT */ DROP TABLE numbers", "SELEC"}
	databases.Each(t, func(t *testing.T, driver, source string) {
		o := fill(t, driver, source)
		for _, statement := range refused[driver] {
			if a, err := Ask(t.Context(), o, statement); err == nil {
				t.Errorf("%s: answered %+v", statement, a)
			}
		}
		for _, statement := range never {
			if a, err := Ask(t.Context(), o, statement); !errors.Is(err, ErrNotQuestion) {
				t.Errorf("%s: %+v, %v", statement, a, err)
			}
		}
		var n int
		if err := open(t, driver, source).QueryRow("SELECT count(*) FROM numbers").Scan(&n); err != nil || n != 1000 {
			t.Errorf("%d numbers are left, %v", n, err)
		}
		if _, err := os.Stat(written); err == nil {
			t.Error("a question has written a file")
		}
	})
}

// TestLongQuestions ends a question that would take for ever, on the database, too.
func TestLongQuestions(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		o := fill(t, driver, source)
		o.Timeout = time.Second
		for _, statement := range []string{"SELECT count(*) FROM numbers a, numbers b, numbers c, numbers d", "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n + c.n < 0"} {
			if _, err := Ask(t.Context(), o, statement); err == nil {
				t.Errorf("%s was answered", statement)
			}
		}
		o.Timeout = 20 * time.Second
		if a, err := Ask(t.Context(), o, "SELECT a.n FROM numbers a, numbers b, numbers c"); err != nil || !a.More || a.Took > 10*time.Second {
			t.Errorf("the beginning of a billion rows: %+v, %v", a, err)
		}
	})
}

// TestLargeAnswers asks for more than the server has memory for.
func TestLargeAnswers(t *testing.T) {
	t.Parallel()
	huge := map[string]string{
		"postgres": "SELECT repeat('x', 200000000)", "mysql": "SELECT repeat('x', 10000000) FROM numbers", "sqlite": "SELECT 1",
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		o := fill(t, driver, source)
		o.Rows, o.Bytes = 100, 50_000
		many := "SELECT " + strings.Repeat("repeat('x', 50000), ", 20) + "1 FROM numbers"
		if driver == "sqlite" {
			many = strings.ReplaceAll(many, "repeat('x', 50000)", "printf('%.50000c', 'x')")
		}
		a, err := Ask(t.Context(), o, many)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, row := range a.Rows {
			for _, v := range row {
				size += len(v.Text)
			}
		}
		if !a.More || size > answerBytes+1<<21 {
			t.Errorf("the answer has %d bytes, and more: %t", size, a.More)
		}
		switch a, err = Ask(t.Context(), o, huge[driver]); driver {
		case "postgres":
			if err == nil {
				t.Error("one value of 200 MB was answered")
			}
		case "mysql":
			if err != nil || !a.More || len(a.Rows) > readBytes/10_000_000 {
				t.Errorf("of 100 values of 10 MB the answer has %v, %v", a, err)
			}
		}
	})
	long := strings.Repeat("x", 1000)
	if v := valueOf(long, 10); unsafe.StringData(v.Text) == unsafe.StringData(long) {
		t.Error("the beginning of a value holds all of it in memory")
	}
}

// TestMightyRoles refuses roles that can do harm without writing.
func TestMightyRoles(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		switch driver {
		case "sqlite":
			return // it has no roles
		case "postgres": // a role that could become an administrator within a question
			o := fill(t, driver, source)
			db := open(t, driver, source)
			role := "administrator" + strconv.Itoa(int(roles.Add(1)))
			reader := o.Source[strings.Index(o.Source, "reader"):strings.Index(o.Source, ":secret@")]
			for _, text := range []string{"CREATE ROLE " + role + " SUPERUSER", "GRANT " + role + " TO " + reader} {
				if _, err := db.Exec(text); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() {
				if _, err := db.Exec("DROP ROLE " + role); err != nil {
					t.Error(err)
				}
			})
			if a, err := Ask(t.Context(), o, "SELECT set_config('role', '"+role+"', true), query_to_xml('SELECT pg_read_file(''PG_VERSION'')', true, true, '')"); !errors.Is(err, ErrMighty) {
				t.Errorf("a member of an administrator: %+v, %v", a, err)
			}
		}
		if _, err := Ask(t.Context(), Options{Driver: driver, Source: source, Timeout: 20 * time.Second, Rows: 10, Bytes: 100}, "SELECT 1"); !errors.Is(err, ErrMighty) {
			t.Errorf("an administrator: %v", err)
		}
	})
}
