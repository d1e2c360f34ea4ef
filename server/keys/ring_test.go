package keys_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql" // drivers of the databases under test
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

func TestMain(m *testing.M) { databases.Main(m) }

var seals = func() *proto.Seals {
	s, err := proto.NewSeals(proto.MappingConfig{Format: proto.FormatJSON, AggregateID: "$.id", EventType: "= T"},
		[]proto.SealConfig{{Subject: "$.who", Fields: []string{"$.name", "$.mail"}}})
	if err != nil {
		panic(err)
	}
	return s
}()

// masterKey is a key as a file has it.
func masterKey(fill byte) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(fill)), 32)))
}

func masterFile(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "master.key")
	write(t, name, lines...)
	return name
}

func write(t *testing.T, name string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, driver, source, master string) *keys.Ring {
	t.Helper()
	r, err := keys.Open(t.Context(), keys.Options{Driver: driver, Source: source, Master: master}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

const channel = "people"

func seal(t *testing.T, r *keys.Ring, payload string) []byte {
	t.Helper()
	sealed, err := trySeal(t, r, payload)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func trySeal(t *testing.T, r *keys.Ring, payload string) ([]byte, error) {
	t.Helper()
	found, err := seals.Find([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	set, err := r.ForSubjects(t.Context(), found.Subjects())
	if err != nil {
		return nil, err
	}
	return set.Seal(channel, found)
}

func unseal(t *testing.T, r *keys.Ring, on string, payload []byte) (string, bool) {
	t.Helper()
	found := seals.Sealed(payload)
	var opened []byte
	var all bool
	if err := r.Use(t.Context(), found.Keys(), func(set *keys.Set) { opened, all = set.Open(on, found) }); err != nil {
		t.Error(err)
	}
	return string(opened), all
}

const ann, bob = `{"id":1,"who":"ann","name":"Ann","mail":"ann@example.org"}`, `{"id":2,"who":"bob","name":"Bob"}`

// What is encrypted is decrypted by every server that has the master key; a forgotten subject's fields by none. Others'
// fields, and new events of the subject, are not touched.
func TestForget(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		master := "file:" + masterFile(t, masterKey('a'))
		r, other := open(t, driver, source, master), open(t, driver, source, master)
		a, b := seal(t, r, ann), seal(t, r, bob)
		for _, ring := range []*keys.Ring{r, other} {
			if got, all := unseal(t, ring, channel, a); got != ann || !all {
				t.Fatalf("decrypted: %s", got)
			}
		}
		forgotten, err := r.Forget(t.Context(), "ann")
		if err != nil || len(forgotten) != 1 || forgotten[0].Forgotten.IsZero() {
			t.Fatal(forgotten, err)
		}
		if got, all := unseal(t, r, channel, a); got != string(a) || all {
			t.Errorf("after the subject was forgotten: %s", got)
		}
		if got, all := unseal(t, other, channel, a); got != string(a) || all {
			t.Errorf("another server, after the subject was forgotten: %s", got)
		}
		for subject, payload := range map[string][]byte{"ann": a, "bob": b} {
			set, known := r.Remembered(seals.Sealed(payload).Keys())
			if _, all := set.Open(channel, seals.Sealed(payload)); !known || all != (subject == "bob") {
				t.Errorf("in memory, %s: known %v, decrypts %v", subject, known, all)
			}
		}
		if got, all := unseal(t, r, channel, b); got != bob || !all {
			t.Errorf("somebody else: %s", got)
		}
		fresh := seal(t, r, ann)
		if got, all := unseal(t, other, channel, fresh); got != ann || !all {
			t.Errorf("a new event: %s", got)
		}
		if got, _ := unseal(t, r, channel, a); got != string(a) {
			t.Errorf("the new key decrypts the old event: %s", got)
		}
		all, err := r.Show(t.Context(), "ann")
		if err != nil || len(all) != 2 || all[0].Forgotten.IsZero() || !all[1].Forgotten.IsZero() {
			t.Errorf("keys %+v: %v", all, err)
		}
		if _, err := r.Forget(t.Context(), "nobody"); !errors.Is(err, keys.ErrUnknownSubject) {
			t.Errorf("an unknown subject: %v", err)
		}
		// An earlier act does not touch the key that was made after it; a later one does.
		if n, err := r.ForgetAgain(t.Context(), []string{all[0].Name}); n != 0 || err != nil {
			t.Errorf("forgot %d keys again: %v", n, err)
		}
		if n, err := r.ForgetAgain(t.Context(), []string{all[0].Name, all[1].Name}); n != 1 || err != nil {
			t.Errorf("forgot %d keys again: %v", n, err)
		}
		// The table names nobody.
		db, err := sql.Open(driver, source)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var n int
		if err := db.QueryRow(`SELECT COUNT(*) FROM SubjectKeys WHERE wrapped IS NOT NULL`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d keys are left: %v", n, err)
		}
		if err := db.QueryRow(`SELECT COUNT(*) FROM SubjectKeys WHERE subject LIKE '%ann%' OR subject LIKE '%bob%'`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows name a subject: %v", n, err)
		}
	})
}

// Once Forget has returned, nobody decrypts with the key any more: neither whoever begins then, on any server, while keys are read into
// memory all the time, nor with keys that he has had in hand since before.
func TestForgetAmongReaders(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		master := "file:" + masterFile(t, masterKey('a'))
		rings := []*keys.Ring{open(t, driver, source, master), open(t, driver, source, master)}
		type subject struct {
			name     string
			sealed   []byte
			answered atomic.Bool
		}
		var running sync.WaitGroup
		var reads, decrypted atomic.Int64
		ended := make(chan struct{})
		var all []*subject
		seal(t, rings[0], bob)
		for i := range 10 {
			s := &subject{name: fmt.Sprintf("ann-%d", i)}
			s.sealed = seal(t, rings[0], strings.Replace(ann, `"ann"`, `"`+s.name+`"`, 1))
			all = append(all, s)
			for _, r := range rings {
				running.Go(func() {
					for {
						select {
						case <-ended:
							return
						default:
						}
						answered := s.answered.Load()
						if _, whole := unseal(t, r, channel, s.sealed); whole && answered {
							t.Errorf("%s was forgotten, and is decrypted", s.name)
							return
						} else if whole {
							decrypted.Add(1)
						}
						reads.Add(1)
					}
				})
			}
		}
		// Whatever one server renews takes all keys out of the other's memory.
		for _, r := range rings {
			running.Go(func() {
				for {
					select {
					case <-ended:
						return
					default:
						_, _ = r.Renew(t.Context(), "bob") // it may lose a race
					}
				}
			})
		}
		var held []*keys.Set
		found := seals.Sealed(all[0].sealed)
		for _, r := range rings {
			set, err := r.ForKeys(t.Context(), found.Keys())
			if _, whole := set.Open(channel, found); err != nil || !whole {
				t.Fatal("not decrypted", err)
			}
			held = append(held, set)
		}
		var forgetting sync.WaitGroup
		for _, s := range all {
			forgetting.Go(func() {
				if _, err := rings[0].Forget(t.Context(), s.name); err != nil {
					t.Error(err)
				}
				s.answered.Store(true)
			})
		}
		forgetting.Wait()
		for i, set := range held {
			if set.Valid() {
				t.Errorf("ring %d: a set from before the subject was forgotten is still valid", i)
			}
		}
		before := reads.Load()
		for reads.Load() < before+200 && !t.Failed() {
			runtime.Gosched()
		}
		close(ended)
		running.Wait()
		t.Logf("%d reads, %d decrypted", reads.Load(), decrypted.Load())
		if decrypted.Load() == 0 {
			t.Error("nothing was decrypted before")
		}
	})
}

// A ciphertext that somebody moves to another channel, field or subject does not decrypt.
func TestMoved(t *testing.T) {
	t.Parallel()
	r := open(t, "sqlite", databases.SQLite(t), "file:"+masterFile(t, masterKey('a')))
	a, b := seal(t, r, ann), seal(t, r, bob)
	if got, all := unseal(t, r, "elsewhere", a); got != string(a) || all {
		t.Errorf("on another channel: %s", got)
	}
	swapped := strings.NewReplacer(`"name"`, `"mail"`, `"mail"`, `"name"`).Replace(string(a))
	if got, all := unseal(t, r, channel, []byte(swapped)); got != swapped || all {
		t.Errorf("in another field: %s", got)
	}
	keyA, keyB := seals.Sealed(a).Keys()[0], seals.Sealed(b).Keys()[0]
	claimed := strings.ReplaceAll(string(a), keyA, keyB)
	if got, all := unseal(t, r, channel, []byte(claimed)); got != claimed || all {
		t.Errorf("with another subject's key: %s", got)
	}
	if n := r.Counts().Failed; n < 5 {
		t.Errorf("%d failures were counted", n)
	}
}

// Renewed keys encrypt; the former ones decrypt.
func TestRenew(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		r := open(t, driver, source, "file:"+masterFile(t, masterKey('a')))
		first := seal(t, r, ann)
		if _, err := r.Renew(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		second := seal(t, r, ann)
		if a, b := seals.Sealed(first).Keys()[0], seals.Sealed(second).Keys()[0]; a == b || a[:22] != b[:22] {
			t.Errorf("keys %s and %s", a, b)
		}
		for _, payload := range [][]byte{first, second} {
			if got, all := unseal(t, r, channel, payload); got != ann || !all {
				t.Errorf("decrypted: %s", got)
			}
		}
		if forgotten, err := r.Forget(t.Context(), "key:"+seals.Sealed(first).Keys()[0]); err != nil || len(forgotten) != 2 {
			t.Errorf("%+v: %v", forgotten, err)
		}
		if got, _ := unseal(t, r, channel, second); got != string(second) {
			t.Errorf("after the subject was forgotten: %s", got)
		}
	})
}

// After the rotation, the former master key opens nothing, and every field still decrypts.
func TestRotate(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := masterFile(t, masterKey('a'))
		r := open(t, driver, source, "file:"+file)
		a, b := seal(t, r, ann), seal(t, r, bob)
		if _, err := r.Forget(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		write(t, file, masterKey('b'), masterKey('a'))
		if n, err := r.Rotate(t.Context()); n != 1 || err != nil {
			t.Fatalf("%d keys: %v", n, err)
		}
		for master, want := range map[string]string{masterKey('b'): ann, masterKey('a'): string(a)} {
			other := open(t, driver, source, "file:"+masterFile(t, master))
			if got, _ := unseal(t, other, channel, a); got != want {
				t.Errorf("decrypted: %s", got)
			}
		}
		write(t, file, masterKey('b'))
		if got, _ := unseal(t, r, channel, a); got != ann {
			t.Errorf("decrypted: %s", got)
		}
		if got, _ := unseal(t, r, channel, b); got != string(b) {
			t.Errorf("a forgotten subject: %s", got)
		}
	})
}

// Keys that are made while all are wrapped anew are not lost.
func TestRotateAtOnce(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		master := "file:" + masterFile(t, masterKey('a'))
		r, other := open(t, driver, source, master), open(t, driver, source, master)
		seal(t, r, ann)
		var sealed [][]byte
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			for range 10 {
				if _, err := other.Rotate(t.Context()); err != nil && !strings.Contains(err.Error(), "changed meanwhile") {
					t.Error(err)
				}
			}
		}()
		for i, more := 0, true; more || i < 20; i++ {
			payload, err := trySeal(t, r, fmt.Sprintf(`{"who":"s-%d","name":"Ann"}`, i))
			switch {
			case err == nil:
				sealed = append(sealed, payload)
			case !errors.Is(err, keys.ErrUnavailable): // which asks to try again
				t.Error(err)
			}
			select {
			case <-done:
				more = false
			default:
			}
		}
		fresh := open(t, driver, source, master)
		for i := range sealed {
			if got, all := unseal(t, fresh, channel, sealed[i]); !all {
				t.Fatalf("event %d of %d: %s", i, len(sealed), got)
			}
		}
	})
}

// A restored table that does not know a forgotten subject any more gives its names to nobody.
func TestTombstone(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		r := open(t, driver, source, "file:"+masterFile(t, masterKey('a')))
		a := seal(t, r, ann)
		name := seals.Sealed(a).Keys()[0]
		db, err := sql.Open(driver, source)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(`DELETE FROM SubjectKeys`); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if n, err := r.ForgetAgain(t.Context(), []string{name, "nonsense"}); n != 0 || err != nil {
				t.Errorf("forgot %d keys again: %v", n, err)
			}
		}
		other := open(t, driver, source, "file:"+masterFile(t, masterKey('a')))
		if again := seal(t, other, ann); seals.Sealed(again).Keys()[0] == name {
			t.Error("a new key has the name of a forgotten one")
		}
	})
}

// SQLite keeps nothing of a deleted key in its files.
func TestDeletedBytes(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	r := open(t, "sqlite", source, "file:"+masterFile(t, masterKey('a')))
	seal(t, r, bob)
	seal(t, r, ann)
	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := r.Show(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	var wrapped []byte
	subject, _, _ := strings.Cut(keys[0].Name, ".")
	if err := db.QueryRow(`SELECT wrapped FROM SubjectKeys WHERE subject = ?`, subject).Scan(&wrapped); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	held := func() (n int) {
		files, err := filepath.Glob(source + "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			n += bytes.Count(content, wrapped)
		}
		return n
	}
	if held() == 0 {
		t.Fatal("the files do not contain the key: the test looks for the wrong bytes")
	}
	if _, err := r.Forget(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	if n := held(); n > 0 {
		t.Errorf("the files contain the key %d times", n)
	}
}

// Without its master key, or with another one, a ring encrypts and decrypts nothing, and says why.
func TestLocked(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		a := seal(t, open(t, driver, source, "file:"+masterFile(t, masterKey('a'))), ann)
		for master, want := range map[string]string{
			"file:" + masterFile(t, masterKey('b')):         "is not the master key that the key table was made with",
			"file:" + filepath.Join(t.TempDir(), "missing"): "no such file",
			"file:" + masterFile(t, "short"):                "is not a key of 32 bytes in base64",
			"file:" + masterFile(t):                         "is empty",
			"env:NATS_STREAMING_NO_SUCH_KEY":                "the environment has no such variable",
			"command:false":                                 "false unwrap: exit status 1",
		} {
			r := open(t, driver, source, master)
			if got, all := unseal(t, r, channel, a); got != string(a) || all {
				t.Errorf("%s: decrypted %s", master, got)
			}
			if _, err := r.ForSubjects(t.Context(), []string{"ann"}); !errors.Is(err, keys.ErrLocked) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", master, err, want)
			}
			if err := r.Locked(); !errors.Is(err, keys.ErrLocked) {
				t.Errorf("%s: %v", master, err)
			}
		}
	})
}

// A command wraps and unwraps by a key management service.
func TestCommand(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "kms")
	const text = "#!/bin/sh\ncase $2 in wrap) rev;; unwrap) rev;; esac\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	source := databases.SQLite(t)
	a := seal(t, open(t, "sqlite", source, "command:"+script+" key-1"), ann)
	if got, all := unseal(t, open(t, "sqlite", source, "command:"+script+" key-1"), channel, a); got != ann || !all {
		t.Errorf("decrypted: %s", got)
	}
}

// Servers that make keys of the same subjects at once agree on them.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		master := "file:" + masterFile(t, masterKey('a'))
		var all sync.WaitGroup
		sealed := make([][]byte, 8)
		for i := range sealed {
			r := open(t, driver, source, master)
			all.Go(func() { sealed[i] = seal(t, r, ann) })
		}
		all.Wait()
		for i := range sealed {
			if a, b := seals.Sealed(sealed[0]).Keys()[0], seals.Sealed(sealed[i]).Keys()[0]; a != b {
				t.Errorf("keys %s and %s", a, b)
			}
		}
	})
}

// Once the tables are there, a role that can read, add and change rows is enough.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	source := databases.Postgres(t)
	master := "file:" + masterFile(t, masterKey('a'))
	a := seal(t, open(t, "postgres", source, master), ann)
	db, err := sql.Open("postgres", source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range []string{
		`CREATE ROLE keeper LOGIN PASSWORD 'keeper'`, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`, `GRANT SELECT, INSERT, UPDATE ON KeyRings, SubjectKeys TO keeper`,
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if _, err := db.Exec(`DROP OWNED BY keeper; DROP ROLE keeper`); err != nil {
			t.Error(err)
		}
	}()
	as, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	as.User = url.UserPassword("keeper", "keeper")
	r, err := keys.Open(t.Context(), keys.Options{Driver: "postgres", Source: as.String(), Master: master}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, all := unseal(t, r, channel, a); got != ann || !all {
		t.Errorf("decrypted: %s", got)
	}
	seal(t, r, bob)
	if _, err := r.Renew(t.Context(), "bob"); err != nil {
		t.Error(err)
	}
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := r.Forget(t.Context(), "ann"); err != nil {
		t.Error(err)
	}
}

// A database of events is no place for keys.
func TestSameDatabase(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		db, err := sql.Open(driver, source)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(`CREATE TABLE StoreLock (id INT PRIMARY KEY)`); err != nil {
			t.Fatal(err)
		}
		_, err = keys.Open(context.Background(), keys.Options{Driver: driver, Source: source, Master: "env:X"}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "name another database") {
			t.Errorf("error %v", err)
		}
	})
}

// What it costs: encrypt and decrypt two fields of one event, with the key in memory.
func BenchmarkFields(b *testing.B) {
	name := filepath.Join(b.TempDir(), "master.key")
	if err := os.WriteFile(name, []byte(masterKey('a')), 0o600); err != nil {
		b.Fatal(err)
	}
	r, err := keys.Open(b.Context(), keys.Options{Driver: "sqlite", Source: databases.SQLite(b), Master: "file:" + name}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	payload := []byte(ann)
	found, err := seals.Find(payload)
	if err != nil {
		b.Fatal(err)
	}
	set, err := r.ForSubjects(b.Context(), found.Subjects())
	if err != nil {
		b.Fatal(err)
	}
	sealed, err := set.Seal(channel, found)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encrypt", func(b *testing.B) {
		for b.Loop() {
			found, err := seals.Find(payload)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := set.Seal(channel, found); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decrypt", func(b *testing.B) {
		for b.Loop() {
			found := seals.Sealed(sealed)
			set, err := r.ForKeys(b.Context(), found.Keys())
			if err != nil {
				b.Fatal(err)
			}
			if _, all := set.Open(channel, found); !all {
				b.Fatal("not decrypted")
			}
		}
	})
}
