package keys

import (
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"testing"
)

func openRing(t *testing.T, o Options) *Ring {
	t.Helper()
	r, err := Open(t.Context(), o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// A reader that has read a key before it was forgotten, and puts it into memory afterwards, brings nothing back.
func TestKeptTooLate(t *testing.T) {
	t.Setenv("MASTER", base64.StdEncoding.EncodeToString(newKey()))
	r := openRing(t, Options{Driver: "sqlite", Source: filepath.Join(t.TempDir(), "keys.db"), Master: "env:MASTER"})
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

// What another server forgets is not taken for an act of this one, whether that fails, or is known here before it ends.
func TestOthersAct(t *testing.T) {
	t.Setenv("MASTER", base64.StdEncoding.EncodeToString(newKey()))
	o := Options{Driver: "sqlite", Source: filepath.Join(t.TempDir(), "keys.db"), Master: "env:MASTER"}
	for name, act := range map[string]func(t *testing.T, r *Ring){
		"fails": func(t *testing.T, r *Ring) { _, _ = r.Renew(t.Context(), "bob") }, // a slow machine has looked at the table again, which is as good
		"is known": func(t *testing.T, r *Ring) {
			digest := r.unlocked.Load().subject("bob")
			r.adopt(t.Context(), digest, r.row.generation)
		},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := openRing(t, o), openRing(t, o)
			subject := "ann, before it " + name
			set, err := here.ForSubjects(t.Context(), []string{subject, "bob"})
			if err != nil {
				t.Fatal(err)
			}
			key := set.current[subject]
			if _, _, err := there.table.forget(t.Context(), there.unlocked.Load().subject(subject), 1, 1); err != nil {
				t.Fatal(err)
			}
			act(t, here)
			if again, _ := here.Remembered([]string{key}); again.byName[key] != nil {
				t.Error("the forgotten key is still in memory, and nothing would take it out")
			}
		})
	}
}
