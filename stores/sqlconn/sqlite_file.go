package sqlconn

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

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
