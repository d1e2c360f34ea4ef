package stores_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/nats-eventstore/nats-eventstore/sql"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// An administrator can run the migrations with the databases' own clients, even twice.
func TestMigrationsByHand(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		files, err := sql.Files(driver)
		if err != nil {
			t.Fatal(err)
		}
		for run := range 2 {
			for _, file := range files {
				if driver == "sqlite" && run > 0 && strings.Contains(file.Text, "ADD COLUMN") {
					continue // the file says so
				}
				client := client(t, driver, source)
				client.Stdin = strings.NewReader(file.Text)
				if output, err := client.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", file.Path, err, output)
				}
			}
		}
		s, err := stores.Open(t.Context(), stores.Options{Driver: driver, Source: source, NoMigrate: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		if held, _, err := s.TryLease(t.Context(), "server", stores.Lease{}); err != nil || !held {
			t.Fatal(held, err)
		}
	})
}

// client returns the command of a database's client, which reads statements from its standard input.
func client(t *testing.T, driver, source string) *exec.Cmd {
	t.Helper()
	var argv []string
	switch driver {
	case "sqlite":
		argv = []string{"sqlite3", "-bail", source}
	case "postgres":
		argv = []string{"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", source}
	case "mysql":
		cfg, err := mysqldriver.ParseDSN(source)
		if err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(cfg.Addr)
		if err != nil {
			t.Fatal(err)
		}
		argv = []string{"mysql", "--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", cfg.User, "--password=" + cfg.Passwd, cfg.DBName}
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no", argv[0], "here")
	}
	return exec.CommandContext(t.Context(), argv[0], argv[1:]...)
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_, port, err := net.SplitHostPort(closed)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("this is not a database, but it is long enough to have a header"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ driver, source, want string }{
		{"oracle", "x", `unknown SQL driver "oracle"`},
		{"postgres", "postgres://me:pass%zzword@localhost/db", "invalid source"},
		{"postgres", "postgres://me:pass/word@localhost/db", "invalid source"},
		{"postgres", "host=localhost password=pass word", "invalid source"},
		{"postgres", "postgres://me:1pass#word@localhost/db", "invalid source"},
		{"postgres", "postgres://me:77777#word@" + closed + "/db", "invalid source"},
		{"postgres", "postgres://me:77777/word@" + closed + "/db", "invalid source"},
		{"postgres", "postgres://me:77?port=password@" + closed + "/db", "invalid source"},
		{"postgres", "host=localhost password='password", "invalid source"},
		{"postgres", "postgres://localhost/db?port=" + port + "&user=a@b&password=password&sslmode=disable", "connect"},
		{"mysql", "me:pass/word%zz@tcp(" + closed + ")", "invalid source"},
		{"mysql", "me:pass/word?parseTime=password@tcp(" + closed + ")", "invalid source"},
		{"postgres", "postgres://me:password@localhost/db?readTimeout=soon", "readTimeout=soon"},
		{"postgres", "postgres://me:password@" + closed + "/db?sslmode=disable", "connect"},
		{"postgres", "postgres://me:password@localhost/db?sslmode=maybe", "sslmode"},
		{"mysql", "me:password@tcp(" + closed + ")/", "does not name a database"},
		{"mysql", "me:password@tcp(" + closed + ")/db", "connect"},
		{"mysql", "me:password", "invalid source"},
		{"mysql", "me:password@tcp(" + closed + ")/db?tls=unknown", "invalid source"},
		{"mysql", "me:password@tcp(" + closed + ")/db?tls_ca=%2Fabsent.pem", "open /absent.pem: no such file or directory: -sql_source names this file"},
		{"sqlite", "", "want the path of a file"},
		{"sqlite", "file:x?mode=memory", "want the path of a file"},
		{"sqlite", t.TempDir(), "open"},
		{"sqlite", file, "not a database"},
		{"sqlite", filepath.Join(file, "x", "y.db"), "not a directory"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := stores.Open(ctx, stores.Options{Driver: test.driver, Source: test.source})
		cancel()
		if err == nil {
			t.Errorf("%s %s: no error", test.driver, test.source)
			continue
		}
		t.Log(err)
		text := strings.NewReplacer("special characters in the password", "", "user:password@tcp", "", port, "").Replace(err.Error())
		if !strings.Contains(text, test.want) || strings.Contains(text, "pass") || strings.Contains(text, "word@") || strings.Contains(text, "777") || strings.Contains(text, "\n") {
			t.Errorf("%s %s: %v", test.driver, test.source, err)
		}
	}
}

// The servers' own errors are reported, without the password.
func TestWrongUser(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		if driver == "sqlite" {
			return
		}
		_, err := stores.Open(t.Context(), stores.Options{Driver: driver, Source: strings.Replace(source, "eventstore:secret@", "stranger:wrong-secret@", 1)})
		if err == nil {
			t.Fatal("opened the database as an unknown user")
		}
		t.Log(err)
		if text := err.Error(); strings.Contains(text, "secret") || strings.Contains(text, "\n") {
			t.Error(text)
		}
	})
}

// A session is durable and strict, whatever the database's defaults are.
func TestSettings(t *testing.T) {
	t.Parallel()
	source := databases.Postgres(t)
	separator := "?"
	if strings.Contains(source, "?") {
		separator = "&"
	}
	for _, test := range []struct{ set, want string }{
		{"synchronous_commit=off", "on"}, {"synchronous_commit=local", "on"}, {"synchronous_commit=remote_apply", "remote_apply"},
	} {
		if got := stores.SessionSetting(t, stores.Options{Driver: "postgres", Source: source + separator + test.set + "&readTimeout=3s"}, "SHOW synchronous_commit"); got != test.want {
			t.Errorf("%s: %s", test.set, got)
		}
	}
	if got := stores.SessionSetting(t, stores.Options{Driver: "postgres", Source: source, StatementTimeout: 7 * time.Second}, "SHOW statement_timeout"); got != "7s" {
		t.Error(got)
	}
	source = databases.MySQL(t)
	separator = "?"
	if strings.Contains(source, "?") {
		separator = "&"
	}
	if got := stores.SessionSetting(t, stores.Options{Driver: "mysql", Source: source + separator + "sql_mode=''&charset=latin1"}, "SELECT CONCAT(@@sql_mode, ' ', @@character_set_client)"); got != "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION utf8mb4" {
		t.Error(got)
	}
	dir := t.TempDir()
	for setting, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000"} {
		name := filepath.Join(dir, "a b%41?c#d&e.db")
		if got := stores.SessionSetting(t, stores.Options{Driver: "sqlite", Source: name}, "PRAGMA "+setting); got != want {
			t.Errorf("%s: %s", setting, got)
		}
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}
