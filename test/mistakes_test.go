package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// mistake is what an operator may do wrong, and what -t says to do about it.
type mistake struct {
	what string
	conf string // server.conf, given with -c
	args []string
	env  string
	want string
	told bool // a warning; the configuration is valid
	// status is the exit status, if it is another than 1.
	status int
}

// Each mistake of an operator has a line that names it and says what to do: go test -v -run TestMistakes ./test
func TestMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := authority.New(t)
	expired, valid := ca.IssueUntil("expired", time.Now().Add(-time.Minute)), ca.Issue("valid")
	taken := startNATS(t, "")
	postgres, mysql := databases.Postgres(t), databases.MySQL(t)
	sql := func(driver, source string) []string {
		return []string{"-store", "SQL", "-sql_driver", driver, "-sql_source", source}
	}
	mistakes := []mistake{
		{what: "a mistyped flag", args: []string{"-stroe", "SQL"}, want: "flag provided but not defined: -stroe: did you mean -store?"},
		{what: "a mistyped command", args: []string{"migrat"}, want: `unknown command "migrat": did you mean migrate?`},
		{what: "a command after the options", args: []string{"-store", "FILE", "migrate"}, want: "migrate must come first: nats-streaming-server migrate [options]"},
		{what: "a switch with a separate value", args: []string{"-sql_no_migrate", "true"}, want: "write -sql_no_migrate=true"},
		{what: "a flag given twice", args: []string{"-cid", "a", "-cluster_id", "b"}, want: "-cluster_id is given twice, first as -cid: the last one counts", told: true},
		{what: "a mistyped value", args: []string{"-store", "PSOTGRES"}, want: `flag -store: "PSOTGRES" must be FILE, MEMORY or SQL: did you mean SQL, with sql_driver postgres?`},
		{what: "a mistyped variable of a secret", env: "NATS_STREAMING_GRPC_TOKN=x", want: "environment variable NATS_STREAMING_GRPC_TOKN: unknown: did you mean NATS_STREAMING_GRPC_TOKEN?"},
		{what: "a variable for what has none", env: "NATS_STREAMING_STROE=SQL", want: "NATS_STREAMING_STROE has no effect: only secrets have variables; use -store", told: true},
		{what: "a mistyped key", conf: "streaming {\n  limits { max_mgs: 5 }\n}", want: `server.conf:2: unknown key "limits.max_mgs": did you mean max_msgs?`},
		{what: "a mistyped key of NATS", conf: "max_paylod: 1MB\nstreaming {}", want: `server.conf:1: unknown key "max_paylod": did you mean max_payload?`},
		{what: "a key outside of the block", conf: "port: 4222\nstore: SQL\nstreaming {}", want: `server.conf:2: key "store" belongs to the streaming part: move it into the block streaming { ... }`},
		{what: "a key of NATS in the block", conf: "streaming {\n  port: 4222\n}", want: `server.conf:2: unknown key "port": it belongs to NATS: move it out`},
		{what: "a key in the wrong block", conf: "streaming {\n  max_msgs: 5\n}", want: `server.conf:2: unknown key "max_msgs": it belongs in a block: limits { max_msgs: ... }`},
		{what: "a flag as a key", conf: "streaming {\n  event_channels: orders\n}", want: `server.conf:2: unknown key "event_channels": that is its name as a flag: write events { channels: ... }`},
		{what: "a flag as a key beside the block", conf: "sql_driver: mysql\nstreaming {}", want: `server.conf:1: unknown key "sql_driver": that is its name as a flag: write streaming { sql { driver: ... } }`},
		{what: "a value in place of a block", conf: "streaming {\n  sql: postgres\n}", want: `server.conf:2: parameter "sql" value is expected to be map, got string: write sql { ... }`},
		{what: "a number in quotes", conf: "streaming { grpc {\n  port: \"4280\"\n} }", want: `server.conf:2: parameter "port" value is expected to be int64, got string: write port: 4280, without quotes`},
		{what: "a number of NATS in quotes", conf: "port: \"4222\"\nstreaming {}", want: "server.conf:1:0: interface conversion: interface {} is string, not int64: a value is of another type: numbers, true and false take no quotes"},
		{what: "an address without a port", conf: "listen: 127.0.0.1\nstreaming {}", want: "server.conf:1:0: could not parse address string \"127.0.0.1\": write host and port, such as 127.0.0.1:4222, or the port alone"},
		{what: "a file to include that does not exist", conf: "include absent.conf\nstreaming {}", want: "create the file, or correct its name"},
		{what: "a certificate that does not exist", conf: "tls { cert_file: absent.crt, key_file: absent.key }\nstreaming {}", want: "absent.crt: no such file or directory: check -tlscert and -tlskey, or the block tls"},
		{what: "a port that does not exist", conf: "streaming { grpc {\n  port: 99999\n} }", want: "server.conf:2: grpc.port: grpc_port 99999 must be between 1 and 65535, or -1 for a free port"},
		{what: "a certificate without its key", conf: "streaming { grpc { port: 4280\n  cert: server.crt\n} }", want: "server.conf:2: grpc.cert: set grpc_cert and grpc_key together"},
		{what: "an unknown format of the log", conf: "streaming {\n  log_format: jsn\n}", want: `server.conf:2: key "log_format": "jsn" must be text or json: did you mean json?`},
		{what: "a value that must be positive", args: []string{"-hb_interval", "0s"}, want: "flag -hb_interval must be positive"},
		{what: "an option of migrate with a hyphen", args: []string{"migrate", "-dry-run"}, want: "flag provided but not defined: -dry-run: did you mean -dry_run?"},
		{what: "a mistyped option of verify", args: []string{"verify", "-erase", "list"}, want: "flag provided but not defined: -erase: did you mean -erased?", status: 2},
		{what: "a mistyped option of the server", args: []string{"verify", "-stroe", "SQL"}, want: "flag provided but not defined: -stroe: did you mean -store?", status: 2},
		{what: "a number in words", args: []string{"verify", "-report", "many"}, want: `flag -report: "many": parse error: -h shows what it takes`, status: 2},
		{what: "a file instead of options", args: []string{"verify", "events.db"}, want: `unexpected argument "events.db": verify takes options here, which begin with -: -h lists them`, status: 2},
		{what: "a directory instead of an option", args: []string{"import", "data"}, want: `unexpected argument "data": import takes options here`},
		{what: "a second file", args: []string{"backup", "a.db", "b.db"}, want: `unexpected argument "b.db": backup takes options here`},
		{what: "a switch of migrate with a value", args: []string{"migrate", "-dry_run", "true"}, want: "write -dry_run=true"},
		{what: "an option of token", args: []string{"token", "-store", "FILE"}, want: "unexpected option -store: token takes none"},
		{what: "nothing like an option", args: []string{"-zzzzzzzz"}, want: "flag provided but not defined: -zzzzzzzz: -help lists the options"},
		{what: "no port to ask for health", args: []string{"healthcheck", "-ns", "nats://127.0.0.1:1"}, want: "NATS is external, so the server has no port that can be asked: start it with -m PORT"},
		{what: "the same option twice", conf: "streaming { limits {\n  mm: 5\n  max_msgs: 6\n} }", want: `server.conf:3: key "max_msgs": already given as "mm"`},
		{what: "a key given twice", conf: "streaming {\n  cluster_id: a\n  cluster_id: b\n}", want: `server.conf:3: key "cluster_id" is given twice`, told: true},
		{what: "a size in words", conf: "streaming { limits {\n  max_bytes: \"10 gigs\"\n} }", want: "server.conf:2: parameter \"max_bytes\" value is expected to be int64, got string: write max_bytes: 10GB"},
		{what: "a duration in days", args: []string{"-max_age", "7d"}, want: `flag -max_age: "7d" is not a duration: write one such as 10s, 1h30m or 168h`},
		{what: "a mistake in an included file", conf: "streaming {\n  include wrong.conf\n}", want: `wrong.conf:5: parameter "mb" value is expected to be int64, got bool: write mb: 10GB`},
		{what: "an option that needs another", args: []string{"-store", "FILE", "-sql_source", "x"}, want: "-sql_source has no effect: the store is not SQL: set store to SQL", told: true},
		{what: "an option of clusters", args: []string{"-cluster_node_id", "a"}, want: "additional servers on the same database are standbys", told: true},
		{what: "limits that remove events", conf: "streaming { limits { channels {\n  \"eventstore.a\" { max_msgs: 5 }\n} } }", want: `server.conf:2: limits of channel "eventstore.a" would remove events`},
		{what: "an open API", args: []string{"-a", "0.0.0.0", "-grpc_port", "4280"}, want: "flag -grpc_port: the API listens on 0.0.0.0 without TLS and authentication: set grpc_cert"},
		{what: "an expired certificate", args: []string{"-tlscert", expired.Cert, "-tlskey", expired.Key}, want: "the certificate of NATS (CN=expired) expired on"},
		{what: "an expired certificate of the cluster", conf: fmt.Sprintf("cluster {\n  port: -1\n  tls { cert_file: %q, key_file: %q }\n}\nstreaming {}", expired.Cert, expired.Key),
			want: "the certificate of the NATS cluster (CN=expired) expired on"},
		{what: "the key of another certificate", args: []string{"-tlscert", valid.Cert, "-tlskey", expired.Key}, want: "check -tlscert and -tlskey, or the block tls"},
		{what: "a port in use", args: []string{"-a", "127.0.0.1", "-p", fmt.Sprint(taken)}, want: fmt.Sprintf("port %d of NATS is in use", taken), told: true},
		{what: "one port for two", args: []string{"-a", "127.0.0.1", "-m", "41799", "-grpc_port", "41799"}, want: "port 41799 is that of monitoring and of API: give one of them another"},
		{what: "a base path that is taken", args: []string{"-c", write(t, "base.conf", "http: \"127.0.0.1:41798\"\nhttp_base_path: \"/streaming\"")}, want: "choose another path"},
		{what: "an address of another machine", args: []string{"-a", "192.0.2.1"}, want: "listen on an address of this machine"},
		{what: "no directory for the log", args: []string{"-log", filepath.Join(dir, "absent", "server.log")}, want: "create the directory, or name another file with -log"},
		{what: "an access file that does not exist", args: []string{"-access_file", filepath.Join(dir, "absent")}, want: "or name another with access_file"},
		{what: "rights for an unknown user", args: []string{"-access_file", write(t, "access.conf", "principals: [ { name: billing, nats_users: [bob], consume: [a] } ]")}, want: `access.conf:1: nats_users: the NATS server has no user "bob": add it`},
		{what: "no NATS server there", args: []string{"-ns", "nats://127.0.0.1:1"}, want: "start NATS there, or check -ns"},
		{what: "no database server there", args: sql("postgres", "postgres://u:p@127.0.0.1:1/x?sslmode=disable"), want: "start the database, or check host and port in -sql_source"},
		{what: "no such database", args: sql("postgres", strings.Replace(postgres, "/test_", "/absent_", 1)), want: "CREATE DATABASE with ENCODING 'UTF8'"},
		{what: "a wrong password", args: sql("mysql", strings.Replace(mysql, ":secret@", ":wrong@", 1)), want: "check user and password"},
		{what: "the source of another database", args: sql("sqlite", "postgres://u:hunter2@127.0.0.1/x"), want: "invalid source: want the path of a file, such as /var/lib/events.db; other databases have another -sql_driver"},
		{what: "a URI of SQLite", args: sql("sqlite", "file:events.db?cache=shared"), want: "invalid source: want the path of a file"},
		{what: "no directory for the database", args: sql("sqlite", filepath.Join(dir, "absent", "events.db")), want: "this user must be able to write the directory"},
	}
	for _, m := range mistakes {
		t.Log(m.try(t))
	}
}

// try returns the mistake and its line.
func (m *mistake) try(t *testing.T) string {
	t.Helper()
	args := m.args
	if m.conf != "" {
		file := write(t, "server.conf", m.conf)
		included(t, file)
		args = append(args, "-c", file)
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{"-t"}, args...)
	}
	cmd := exec.Command(harness.Binary(), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), m.env)
	out, _ := cmd.CombinedOutput()
	if failed := cmd.ProcessState.ExitCode() == max(m.status, 1); failed == m.told {
		t.Errorf("%s: exit status %d:\n%s", m.what, cmd.ProcessState.ExitCode(), out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, m.want) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "nats-streaming-server: ")
			return fmt.Sprintf("%-36s %s", m.what, shortPaths(line, filepath.Dir(t.TempDir())))
		}
	}
	t.Errorf("%s: no line has %q:\n%s", m.what, m.want, out)
	return ""
}

// shortPaths leaves of the files below a directory of tests only their names.
func shortPaths(line, dir string) string {
	words := strings.Fields(line)
	for i, w := range words {
		if at := strings.Index(w, dir); at >= 0 {
			words[i] = w[:at] + filepath.Base(w[at:])
		}
	}
	return strings.Join(words, " ")
}

// All mistakes of a file come at once, in the order of its lines.
func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "server.conf", "store: SQL\nstreaming {\n  hb_interval: 10\n  grpc { prot: 1 }\n  limits { max_msgs: many }\n}\n")
	out, status := runBinary(t, "-t", "-c", file, "-hbt", "soon")
	var places []string
	for line := range strings.Lines(out) {
		place, _, _ := strings.Cut(strings.TrimPrefix(line, "nats-streaming-server: "), ": ")
		places = append(places, filepath.Base(place))
	}
	if got, want := strings.Join(places, " "), "server.conf:1 server.conf:3 server.conf:4 server.conf:5 flag -hbt"; status != 1 || got != want {
		t.Errorf("status %d, got %s, want %s:\n%s", status, got, want, out)
	}
}

// -t passes beside a running server, with a warning about its ports, and changes nothing.
func TestCheckBesideServer(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		before := relations(t, driver, source)
		args := []string{"-t", "-a", "127.0.0.1", "-p", fmt.Sprint(s.Port), "-store", "SQL", "-sql_driver", driver, "-sql_source", source}
		if out, status := runBinary(t, args...); status != 0 || !strings.Contains(out, "is in use") || !strings.Contains(out, "the configuration is valid") {
			t.Errorf("status %d:\n%s", status, out)
		}
		publish(t, s.connect("client"), orders, event(t, "A", "T"))
		if after := relations(t, driver, source); after != before {
			t.Errorf("tables before:\n%s\nafter:\n%s", before, after)
		}
	})
}
