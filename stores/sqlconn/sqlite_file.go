package sqlconn

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CheckPath returns an error if the source of an SQLite database is not the path of its file. It does not repeat the source, which
// may have the password of another database: a path with it would be created.
func CheckPath(source string) error {
	if source == "" || strings.HasPrefix(source, "file:") || strings.Contains(source, "://") || strings.Contains(source, "@tcp(") || strings.Contains(source, "@unix(") {
		return errors.New("invalid source: want the path of a file, such as /var/lib/events.db; other databases have another -sql_driver")
	}
	return nil
}

// createFile creates the file of an SQLite database, and its folder, for this user alone, whatever the umask is. SQLite
// gives the log and its index the mode of the file. An existing file is not opened: closing it would drop the locks that
// this process has on it.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}
