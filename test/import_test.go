package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// A FILE store of NATS Streaming can be imported into any database, and its clients continue.
func TestImport(t *testing.T) {
	t.Parallel()
	for _, it := range []struct {
		name   string
		target func(t *testing.T, dir string) []string
		end    func(*server)
	}{
		{"same directory", func(_ *testing.T, dir string) []string { return []string{"-store", "FILE", "-dir", dir} }, (*server).Stop},
		{"postgres", func(t *testing.T, _ string) []string {
			return []string{"-store", "SQL", "-sql_driver", "postgres", "-sql_source", databases.Postgres(t)}
		}, (*server).Stop},
		{"mysql", func(t *testing.T, _ string) []string {
			return []string{"-store", "SQL", "-sql_driver", "mysql", "-sql_source", databases.MySQL(t)}
		}, (*server).Kill},
	} {
		t.Run(it.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			target := it.target(t, dir) // before the servers, so that it is dropped after them
			s := startUpstream(t, "-store", "FILE", "-dir", dir)
			f := populate(t, s)
			publish(t, f.idle, orders, event(t, "A", "T"), []byte("no event"), event(t, "A", "T"))
			it.end(s)
			f.cut(t)
			former := tree(t, dir)

			if target[1] == "FILE" {
				out, status := runBinary(t, append([]string{"-p", "-1"}, target...)...)
				if status != 1 || !strings.Contains(out, "nats-streaming-server import -from_dir "+dir) {
					t.Errorf("start on a FILE store: status %d, output\n%s", status, out)
				}
			}
			out := command(t, append([]string{"import", "-from_dir", dir}, target...)...)
			has(t, out, `Channel "shop": 6 messages, last sequence 6.`, `Channel "limited": 10 messages, last sequence 10.`,
				`Channel "expired": 3 messages, last sequence 3.`, // files keep messages beyond the limits
				fmt.Sprintf(`Channel %q: 2 messages became events in `, orders), fmt.Sprintf("channel %q sequence 2: invalid event", orders),
				// One plain, one durable, one offline durable, two of the queue, two of the durable queue and the
				// offline one.
				"8 subscriptions with ", "3 clients.")
			if it.name != "mysql" { // a kill may lose the latest acknowledgements
				has(t, out, "8 subscriptions with 16 unacknowledged messages")
			}
			if out, status := runBinary(t, append([]string{"import", "-from_dir", dir}, target...)...); status != 1 || !strings.Contains(out, "empty") {
				t.Errorf("import into a non-empty database: status %d, output\n%s", status, out)
			}
			for name, content := range tree(t, dir) {
				if before, ok := former[name]; ok && before != content {
					t.Errorf("the import changed %s", name)
				}
			}
			s.upgrade(target...)
			f.goOn(t, s, it.name == "mysql")
		})
	}
}

// tree returns the contents of the files of a FILE store.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, name := range append(files, filepath.Join(dir, "server.dat"), filepath.Join(dir, "clients.dat")) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		content[name] = string(b)
	}
	return content
}

// fileStore creates a FILE store with n messages in channel "c" and returns its directory.
func fileStore(t *testing.T, n int, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	s := startUpstream(t, append([]string{"-store", "FILE", "-dir", dir}, args...)...)
	sc := s.connect("client")
	acks := make(chan error, n)
	for i := range n {
		if _, err := sc.PublishAsync("c", fmt.Appendf(nil, "message %d", i+1), func(_ string, err error) { acks <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := <-acks; err != nil {
			t.Fatal(err)
		}
	}
	s.Stop()
	return dir
}

// A killed import continues when it is run again. Until it completes, no server accepts the database.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	const n = 20_000
	dir, other := fileStore(t, n), fileStore(t, 10)
	databases.Each(t, func(t *testing.T, driver, source string) {
		sql := []string{"-store", "SQL", "-sql_driver", driver, "-sql_source", source}
		args := append([]string{"import", "-from_dir", clone(t, dir)}, sql...)
		p, err := process.Start(exec.Command(harness.Binary(), args...), nil, syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			rows, err := tryQuery(driver, source, "SELECT COUNT(*) FROM Messages")
			return err == nil && rows[0] != "0"
		})
		p.Signal(syscall.SIGKILL)
		<-p.Done()
		imported := query(t, driver, source, "SELECT COUNT(*) FROM Messages")[0]
		t.Logf("killed after %s messages", imported)
		if imported != fmt.Sprint(n) {
			for _, args := range [][]string{append([]string{"-p", "-1"}, sql...), append([]string{"migrate"}, sql...)} {
				if out, status := runBinary(t, args...); status != 1 || !strings.Contains(out, "import into this database is unfinished") {
					t.Errorf("%v: status %d, output\n%s", args, status, out)
				}
			}
			if out, status := runBinary(t, append([]string{"import", "-from_dir", clone(t, other)}, sql...)...); status != 1 || !strings.Contains(out, "part of another import") {
				t.Errorf("import of another store: status %d, output\n%s", status, out)
			}
		}
		has(t, command(t, args...), `Channel "c": 20000 messages, last sequence 20000.`)
		contiguous(t, driver, source, "c", n)
		start(t, driver, source)
	})
}

// clone copies a FILE store, because only one process at a time can use it.
func clone(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestImportRefusals(t *testing.T) {
	t.Parallel()
	dir := fileStore(t, 3)
	nested := filepath.Join(clone(t, dir), "new")
	strange := clone(t, dir)
	if err := os.Mkdir(filepath.Join(strange, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	torn := clone(t, dir)
	file, err := os.OpenFile(filepath.Join(torn, "c", "subs.dat"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	unfinished := t.TempDir()
	if err := os.WriteFile(filepath.Join(unfinished, "eventstore.db.importing"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, it := range map[string]struct {
		args []string
		want string
	}{
		"no directory":        {[]string{"import"}, "-from_dir is missing"},
		"no store":            {[]string{"import", "-from_dir", t.TempDir()}, "does not hold a FILE store"},
		"memory":              {[]string{"import", "-from_dir", clone(t, dir), "-store", "MEMORY"}, "-store MEMORY keeps nothing"},
		"nested":              {[]string{"import", "-from_dir", filepath.Dir(nested), "-dir", nested}, "is inside of -from_dir"},
		"other directories":   {[]string{"import", "-from_dir", strange}, "lost+found is not a channel"},
		"torn":                {[]string{"import", "-from_dir", torn}, "unexpected EOF"},
		"without checksums":   {[]string{"import", "-from_dir", clone(t, dir), "-file_crc_poly", "3988292385"}, "corrupted"},
		"encrypt without key": {[]string{"import", "-from_dir", clone(t, dir), "-encrypt"}, "needs the key"},
		"unknown flag":        {[]string{"import", "-from_dir", clone(t, dir), "-nonsense"}, "not defined: -nonsense"},
		"migrate nothing":     {[]string{"migrate", "-dir", t.TempDir()}, "there is no database"},
		"migrate FILE store":  {[]string{"migrate", "-dir", clone(t, dir)}, "nats-streaming-server import -from_dir"},
		"start unfinished":    {[]string{"-p", "-1", "-dir", unfinished}, "an import into it was not finished"},
	} {
		t.Run(name, func(t *testing.T) {
			out, status := runBinary(t, it.args...)
			if status != 1 || !strings.Contains(out, it.want) {
				t.Errorf("status %d, no %q in\n%s", status, it.want, out)
			}
		})
	}
	has(t, command(t, "import", "-from_dir", torn, "-file_truncate_bad_eof"), "3 messages")
	has(t, command(t, "import", "-from_dir", fileStore(t, 3, "-file_crc=false"), "-file_crc=false", "-cid", "else"),
		"3 messages", "Start the server with -cluster_id test-cluster")
}

// An encrypted store is decrypted.
func TestImportEncrypted(t *testing.T) {
	t.Parallel()
	dir := fileStore(t, 3, "-encrypt", "-encryption_key", "secret")
	source := databases.SQLite(t)
	command(t, "import", "-from_dir", dir, "-encryption_key", "secret", "-store", "SQL", "-sql_driver", "sqlite", "-sql_source", source)
	if got := query(t, "sqlite", source, "SELECT data FROM Messages WHERE seq = 2")[0]; !strings.Contains(got, "message 2") {
		t.Errorf("got %q", got)
	}
}
