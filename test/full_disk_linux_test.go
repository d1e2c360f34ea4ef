package test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// A full disk is an outage: publishers get an error, nothing acknowledged is lost, and the server goes on when there is room.
// Where no file system can be mounted, TestOutageIsNoCrash stands for it, with a limit of the size of files.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir, err := volume(t, 0)
	if err != nil {
		t.Logf("no file system of its own: %v", err)
		return
	}
	filler := filepath.Join(dir, "filler")
	outages(t, "sqlite", filepath.Join(dir, "eventstore.db"), func(*harness.Server) []outage {
		return []outage{{"ENOSPC", func() error { return fillDisk(filler) }, func() error { return os.Remove(filler) }}}
	})
}

// fillDisk writes a file until its file system is full.
func fillDisk(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 16; size > 0; { // down to single bytes: the last page is filled, too
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return fmt.Errorf("fill %s: %w", file, err)
}

// A file that can not be written ends the start with one line.
func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	start(t, "sqlite", source).Stop()
	dir := filepath.Dir(source)
	if os.Getuid() == 0 { // whom permissions do not stop
		read, err := volume(t, unix.MS_RDONLY, source)
		if err != nil {
			t.Logf("no read-only file system: %v", err)
			return
		}
		dir = read
	} else {
		for _, it := range []struct {
			path string
			mode os.FileMode
		}{{source, 0o400}, {dir, 0o500}} {
			if err := os.Chmod(it.path, it.mode); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(it.path, 0o700) })
		}
	}
	out, status := runBinary(t, "-p", "-1", "-store", "SQL", "-sql_driver", "sqlite", "-sql_source", filepath.Join(dir, filepath.Base(source)))
	if status != 1 || strings.Count(out, "Failed to start: ") != 1 || !strings.Contains(strings.ToLower(out), "sqlite") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

// volume mounts a file system of 16 MiB with copies of the files until the test ends. With MS_RDONLY it is read only.
func volume(t *testing.T, flags uintptr, files ...string) (string, error) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	for _, file := range files {
		if err := duplicate(file, filepath.Join(dir, filepath.Base(file))); err != nil {
			return "", err
		}
	}
	return dir, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, "size=16m")
}

func duplicate(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
