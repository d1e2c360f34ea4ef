package keys

import (
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"testing"
)

// A reader that has read a key before it was forgotten, and puts it into memory afterwards, brings nothing back.
func TestKeptTooLate(t *testing.T) {
	t.Setenv("MASTER", base64.StdEncoding.EncodeToString(newKey()))
	r, err := Open(t.Context(), Options{Driver: "sqlite", Source: filepath.Join(t.TempDir(), "keys.db"), Master: "env:MASTER"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	set, err := r.ForSubjects(t.Context(), []string{"ann"})
	if err != nil {
		t.Fatal(err)
	}
	name := set.current["ann"]
	if _, err := r.Forget(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	r.keep(set.epoch, name, set.byName[name], r.unlocked.Load().subject("ann"))
	if again, known := r.Remembered([]string{name}); !known || again.byName[name] != nil {
		t.Errorf("the forgotten key is in memory again (known: %v)", known)
	}
	if again := r.Cached([]string{"ann"}); again != nil {
		t.Error("the forgotten key would encrypt again")
	}
}
