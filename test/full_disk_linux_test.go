package test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/stan.go"
	"golang.org/x/sys/unix"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// A full disk is an outage: publishers get an error, nothing acknowledged is lost, and the server continues when there
// is room again. Where no file system can be mounted, TestOutageIsNoCrash covers this with a limit on file sizes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir, err := volume(t, "16m", 0)
	if err != nil {
		t.Skipf("mount a file system: %v", err)
	}
	filler := filepath.Join(dir, "filler")
	outages(t, "sqlite", filepath.Join(dir, "eventstore.db"), func(*harness.Server) []outage {
		return []outage{{"ENOSPC", func() error { return fillDisk(filler) }, func() error { return os.Remove(filler) }}}
	})
}

// A database server's disk fills up while events arrive. The database refuses some events or stops. Once there is room
// and it runs again, the publisher's retries and all acknowledged events are stored.
func TestFullDiskOfDatabaseServer(t *testing.T) {
	t.Parallel()
	for kind, size := range map[databases.Kind]string{databases.KindPostgres: "160m", databases.KindMySQL: "300m"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			dir, err := volume(t, size, 0)
			if err != nil {
				t.Skipf("mount a file system: %v", err)
			}
			db := databases.OwnIn(t, kind, dir)
			if err := db.CreateDatabase("events"); err != nil {
				t.Fatal(err)
			}
			source := db.DSN("events")
			s := start(t, string(kind), source, "-store_timeout", "2s", "-m", "-1")
			sc := s.connect("client")
			_, in := subscribe(t, sc, orders, stan.DurableName("d"), stan.DeliverAllAvailable())
			filler := filepath.Join(dir, "filler")
			if err := fillDiskBut(filler, 20<<20); err != nil {
				t.Fatal(err)
			}
			large := func(n int) []byte {
				data := make([]byte, 256<<10)
				_, _ = rand.Read(data) // incompressible
				return event(t, "A", "T", withID(fmt.Sprint(n)), func(e *eventstorev1.Event) { e.EventData = data })
			}
			n := 1
			next := large(n)
			for err = sc.Publish(orders, next); err == nil && n < 1000; err = sc.Publish(orders, next) {
				n++
				next = large(n)
			}
			if err == nil || !strings.HasPrefix(err.Error(), "stan: ") || !strings.Contains(err.Error(), "the database is unavailable") {
				t.Errorf("event %d: error %v", n, err)
			}
			if n == 1 {
				t.Error("nothing was stored before the disk was full")
			}
			s.health("/healthz", 200, "ok")
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Kill(), db.Restart()); err != nil { // a server that has stopped does not restart by itself
				t.Fatal(err)
			}
			s.health("/readyz", 200, "ok")
			for err = sc.Publish(orders, next); err != nil; err = sc.Publish(orders, next) {
				if !strings.Contains(err.Error(), "the database is unavailable") {
					t.Fatal(err)
				}
			}
			publish(t, sc, orders, large(n+1))
			for i := range n + 1 {
				if got := in.next(t); got.Sequence != uint64(i+1) {
					t.Fatalf("received %d, want %d", got.Sequence, i+1)
				}
			}
			contiguous(t, string(kind), source, orders, n+1)
			harness.Verify(t, string(kind), source)
		})
	}
}

// fillDiskBut writes a file until its file system has only that many bytes left.
func fillDiskBut(file string, left uint64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(file), &fs); err != nil {
		return err
	}
	room := fs.Bavail * uint64(fs.Bsize)
	if room < left {
		return fmt.Errorf("fill %s: only %d bytes are free", file, room)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, int64(room-left)), f.Close())
}

// fillDisk writes a file until its file system is full.
func fillDisk(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 16; size > 0; { // down to single bytes, to fill the last page
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return fmt.Errorf("fill %s: %w", file, err)
}

// A read-only database file stops the start with a one-line error.
func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	start(t, "sqlite", source).Stop()
	dir := filepath.Dir(source)
	if os.Getuid() == 0 { // root ignores permissions
		read, err := volume(t, "16m", unix.MS_RDONLY, source)
		if err != nil {
			t.Skipf("mount a read-only file system: %v", err)
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

// volume mounts an in-memory file system of the given size, with copies of the files, until the test ends. MS_RDONLY
// makes it read-only.
func volume(t *testing.T, size string, flags uintptr, files ...string) (string, error) {
	dir, err := os.MkdirTemp("", "volume") // database accounts cannot reach t.TempDir
	if err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	size = "mode=1777,size=" + size // database accounts create directories there
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, size); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil { // the last processes of a database may still write
			t.Error(err)
		}
	})
	for _, file := range files {
		if err := duplicate(file, filepath.Join(dir, filepath.Base(file))); err != nil {
			return "", err
		}
	}
	return dir, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, size)
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
