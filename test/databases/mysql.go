package databases

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	driver "github.com/go-sql-driver/mysql"
)

// mysql holds the paths of MariaDB's or MySQL's programs.
type mysql struct {
	server  string
	install string // MariaDB's install script; empty for MySQL, whose server does it
}

var _ engine = mysql{}

// mysqlEnv names the directory of the programs of MySQL.
const mysqlEnv = "NATS_EVENTSTORE_TEST_MYSQL"

func findMySQL() (engine, error) {
	if bin := os.Getenv(mysqlEnv); bin != "" {
		return mysql{server: filepath.Join(bin, "mysqld")}, nil
	}
	server := look("mariadbd", "mysqld")
	if server == "" {
		return nil, &MissingError{Server: "MariaDB", Package: "mariadb-server"}
	}
	return mysql{server, look("mariadb-install-db", "mysql_install_db")}, nil
}

// look finds the first of some programs. Servers are often in sbin, which a user's PATH may lack.
func look(names ...string) string {
	for _, name := range names {
		for _, file := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
			if path, err := exec.LookPath(file); err == nil {
				return path
			}
		}
	}
	return ""
}

func (m mysql) initialize(dir string) ([]string, error) {
	// The server runs this at each start, because root has no access over TCP.
	statements := fmt.Sprintf("CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';\nGRANT ALL ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n",
		account, password)
	if err := os.WriteFile(filepath.Join(dir, "account.sql"), []byte(statements), 0o644); err != nil {
		return nil, err
	}
	data := "--datadir=" + filepath.Join(dir, "data")
	if m.install == "" {
		return []string{m.server, "--no-defaults", "--initialize-insecure", data}, nil
	}
	return []string{m.install, "--no-defaults", data, "--tmpdir=" + dir, // at its start, a server removes all temporary tables there, including those of others
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-flush-method=nosync"}, nil
}

func (m mysql) serve(dir string, port int, d Durability) []string {
	args := []string{m.server, "--no-defaults",
		"--datadir=" + filepath.Join(dir, "data"),
		"--tmpdir=" + dir,
		"--port=" + strconv.Itoa(port),
		"--bind-address=127.0.0.1",
		"--skip-networking=0",
		"--skip-name-resolve",
		"--skip-log-bin",
		"--loose-mysqlx=OFF",  // MySQL's second port
		"--secure-file-priv=", // the default of Debian's MySQL is a directory that need not exist
		// Relative to the data directory, to keep the path short.
		"--socket=socket",
		"--pid-file=pid",
		"--init-file=" + filepath.Join(dir, "account.sql"),
		"--max-connections=200",
		"--max-allowed-packet=64M",
		"--innodb-flush-log-at-trx-commit=1",
	}
	if d == Durable {
		return append(args, "--innodb-buffer-pool-size=256M", "--loose-innodb-log-file-size=256M")
	}
	return append(args, "--innodb-buffer-pool-size=256M", "--loose-innodb-log-file-size=64M",
		"--innodb-flush-method=nosync", "--skip-innodb-doublewrite")
}

func (mysql) user() string { return "mysql" }

func (mysql) stop() syscall.Signal { return syscall.SIGTERM }
func (mysql) die() syscall.Signal  { return syscall.SIGKILL }

func (mysql) source(port int, database string) string {
	return fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/%s", account, password, port, database)
}

func (m mysql) connect(port int, database string) (*sql.DB, error) {
	config, err := driver.ParseDSN(m.source(port, database))
	if err != nil {
		return nil, err
	}
	config.Logger = &driver.NopLogger{} // the server refuses connections while it starts
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (mysql) directory() string { return "SELECT @@datadir" }
func (mysql) none() string      { return "mysql" }

func (mysql) drop(database string) string { return "DROP DATABASE IF EXISTS " + database }
