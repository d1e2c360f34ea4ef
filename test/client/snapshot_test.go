package client

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// An aggregate with many events is loaded from its snapshot. A snapshot with another schema is ignored.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		db, dialect := s.readModel()
		snapshots := &eventstore.SQLSnapshots{DB: db, Dialect: dialect}
		for range 2 {
			if err := snapshots.CreateTable(patient(t)); err != nil {
				t.Fatal(err)
			}
		}
		accounts := s.accounts()
		accounts.Snapshots, accounts.SnapshotEvery, accounts.SnapshotSchema = snapshots, 10, "1"
		folded := 0
		accounts.Apply = func(a account, e *eventstore.Event) account {
			folded++
			return apply(a, e)
		}
		s.deposit(accounts, "a", 25)
		load := func(wantFolded int) {
			t.Helper()
			folded = 0
			a, version, err := accounts.Load(patient(t), "a")
			if err != nil || a.Cents != 325 || version != 26 || folded != wantFolded {
				t.Errorf("version %d of %+v after folding %d events, want %d; %v", version, a, folded, wantFolded, err)
			}
		}
		load(26)
		load(0)
		accounts.SnapshotSchema = "2" // a new version of Apply
		load(26)
		key := eventstore.SnapshotKey{Channel: channel, AggregateType: "Account", AggregateID: "a", Schema: "2"}
		if err := snapshots.SaveSnapshot(patient(t), key, eventstore.Snapshot{Version: 5, Sequence: 5, State: []byte(`{"Cents": 7}`)}); err != nil {
			t.Fatal(err)
		}
		load(0) // an older snapshot does not replace a newer one
		if _, err := db.ExecContext(patient(t), "UPDATE eventstore_snapshots SET state = '{'"); err != nil {
			t.Fatal(err)
		}
		load(26)
		load(0) // a new one took its place
		if err := snapshots.DropSnapshot(patient(t), key, 26, 25); err != nil {
			t.Fatal(err)
		}
		load(0) // that is another one

		// An unreachable snapshot store costs time, and its errors are reported.
		var failed []error
		accounts.SnapshotFailed = func(err error) { failed = append(failed, err) }
		if _, err := db.ExecContext(patient(t), "DROP TABLE eventstore_snapshots"); err != nil {
			t.Fatal(err)
		}
		load(26)
		if len(failed) != 2 {
			t.Errorf("reported snapshot errors: %v", failed)
		}
	})
}

// earlier are statements of the build that created the table of snapshots without columns for the last event.
var earlier = map[string]string{
	"postgres": "CREATE TABLE IF NOT EXISTS eventstore_snapshots (channel VARCHAR(255), aggregate_type VARCHAR(255), aggregate_id VARCHAR(255), schema_name VARCHAR(255), version BIGINT NOT NULL, state BYTEA NOT NULL, PRIMARY KEY (channel, aggregate_type, aggregate_id, schema_name))",
	"mysql":    "CREATE TABLE IF NOT EXISTS eventstore_snapshots (channel VARBINARY(255), aggregate_type VARBINARY(255), aggregate_id VARBINARY(255), schema_name VARBINARY(255), version BIGINT NOT NULL, state LONGBLOB NOT NULL, PRIMARY KEY (channel, aggregate_type, aggregate_id, schema_name))",
	"sqlite":   "CREATE TABLE IF NOT EXISTS eventstore_snapshots (channel TEXT, aggregate_type TEXT, aggregate_id TEXT, schema_name TEXT, version INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (channel, aggregate_type, aggregate_id, schema_name))",
}

// Snapshots of an earlier build do not say which event they end with. They are ignored and replaced, even those of a higher version.
func TestSnapshotsOfAnEarlierBuild(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		db, dialect := s.readModel()
		for _, text := range []string{
			earlier[s.driver],
			`INSERT INTO eventstore_snapshots (channel, aggregate_type, aggregate_id, schema_name, version, state) VALUES ('eventstore.accounts', 'Account', 'a', '', 11, '{"Cents": 7}')`,
			`INSERT INTO eventstore_snapshots (channel, aggregate_type, aggregate_id, schema_name, version, state) VALUES ('eventstore.accounts', 'Account', 'b', '', 99, '{"Cents": 7}')`,
		} {
			if _, err := db.ExecContext(patient(t), text); err != nil {
				t.Fatal(err)
			}
		}
		snapshots := &eventstore.SQLSnapshots{DB: db, Dialect: dialect}
		for range 2 {
			if err := snapshots.CreateTable(patient(t)); err != nil {
				t.Fatal(err)
			}
		}
		accounts := s.accounts()
		accounts.Snapshots, accounts.SnapshotEvery = snapshots, 10
		accounts.SnapshotFailed = func(err error) { t.Error(err) }
		for _, id := range []string{"a", "b"} {
			s.deposit(accounts, id, 10)
			if a, version, err := accounts.Load(patient(t), id); err != nil || a.Cents != 55 || version != 11 {
				t.Errorf("version %d of %+v, %v", version, a, err)
			}
			if found, err := snapshots.LoadSnapshot(patient(t), eventstore.SnapshotKey{Channel: channel, AggregateType: "Account", AggregateID: id}); err != nil || found.Version != 11 || found.Sequence == 0 || found.RecordedAt.IsZero() {
				t.Errorf("snapshot %+v, %v", found, err)
			}
		}
	})
}

// A snapshot that the log does not bear out is dropped, and reported: the log was restored from an older backup, and may have
// grown again since. Here, another server stands for the restored one.
func TestSnapshotOfAnotherHistory(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		db, dialect := s.readModel()
		snapshots := &eventstore.SQLSnapshots{DB: db, Dialect: dialect}
		if err := snapshots.CreateTable(patient(t)); err != nil {
			t.Fatal(err)
		}
		restored := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
		before, after := s.accounts(), restored.accounts()
		for id, deposits := range map[string]int{"empty": 0, "shorter": 3, "as long": 15, "longer": 20} {
			s.deposit(before, id, 15)
			before.Snapshots, before.SnapshotEvery = snapshots, 10
			if _, _, err := before.Load(patient(t), id); err != nil {
				t.Fatal(err)
			}
			before.Snapshots = nil
			want := account{}
			if deposits > 0 {
				restored.deposit(after, id, deposits)
				want = account{"Ada", int64(deposits * (deposits + 1) / 2), deposits}
			}
			var failed []error
			after.Snapshots, after.SnapshotEvery = snapshots, 10
			after.SnapshotFailed = func(err error) { failed = append(failed, err) }
			a, version, err := after.Load(patient(t), id)
			if err != nil || a != want || version > 0 != (deposits > 0) || version > 0 && version != uint64(deposits)+1 {
				t.Errorf("%s: version %d of %+v, want %+v, %v", id, version, a, want, err)
			}
			figures := map[string]string{"empty": "the log ends at version 0", "shorter": "the log ends at version 4"}[id]
			if len(failed) != 1 || !errors.Is(failed[0], eventstore.ErrGap) || !strings.Contains(failed[0].Error(), "the snapshot is of version 16") || !strings.Contains(failed[0].Error(), figures) {
				t.Errorf("%s: reported %v", id, failed)
			}
			found, err := snapshots.LoadSnapshot(patient(t), eventstore.SnapshotKey{Channel: channel, AggregateType: "Account", AggregateID: id})
			if want := map[string]uint64{"as long": 16, "longer": 21}[id]; err != nil || found.Version != want {
				t.Errorf("%s: then there is a snapshot of version %d, want %d, %v", id, found.Version, want, err)
			}
			// Commands go on from the truth.
			if result, err := after.Execute(patient(t), id, func(account, uint64) ([]any, error) { return []any{deposited{1}}, nil }); err != nil || result.State.Cents != want.Cents+1 {
				t.Errorf("%s: %+v, %v", id, result, err)
			}
			if len(failed) != 1 {
				t.Errorf("%s: reported %v", id, failed)
			}
			after.Snapshots = nil
		}
	})
}

// hidden is a state of which JSON loses the balance.
type hidden struct{ cents int64 }

// hiddenCodec does not, unless it is broken.
type hiddenCodec struct{ broken bool }

func (hiddenCodec) Marshal(state any) ([]byte, error) { return json.Marshal(state.(hidden).cents) }
func (c hiddenCodec) Unmarshal(data []byte, state any) error {
	if c.broken {
		return nil
	}
	return json.Unmarshal(data, &state.(*hidden).cents)
}

// A state of which a snapshot would lose a part is refused before anything is stored. A codec may keep it; each snapshot is checked.
func TestSnapshotsLoseNothing(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	db, dialect := s.readModel()
	snapshots := &eventstore.SQLSnapshots{DB: db, Dialect: dialect}
	if err := snapshots.CreateTable(patient(t)); err != nil {
		t.Fatal(err)
	}
	accounts := &eventstore.Repository[hidden]{
		Client: s.client(), Channel: channel, AggregateType: "Account", Registry: registry(), Snapshots: snapshots, SnapshotEvery: 2,
		Apply: func(h hidden, e *eventstore.Event) hidden { return hidden{h.cents + e.Data.(deposited).Cents} },
	}
	deposit := func() (int64, error) {
		result, err := accounts.Execute(patient(t), "a", func(hidden, uint64) ([]any, error) { return []any{deposited{100}}, nil })
		return result.State.cents, err
	}
	if _, err := deposit(); !errors.Is(err, eventstore.ErrLossy) || !strings.Contains(err.Error(), ".cents is unexported") {
		t.Errorf("got %v, want ErrLossy", err)
	}
	if _, _, err := accounts.Load(patient(t), "a"); !errors.Is(err, eventstore.ErrLossy) {
		t.Errorf("got %v, want ErrLossy", err)
	}
	if events, err := s.client().Load(patient(t), channel, "Account", "a", 1); err != nil || len(events) != 0 {
		t.Errorf("%d events are stored, %v", len(events), err)
	}
	var failed []error
	accounts.SnapshotFailed = func(err error) { failed = append(failed, err) }
	accounts.Codec = hiddenCodec{broken: true}
	for n := range int64(10) {
		if n == 5 {
			if len(failed) == 0 || !errors.Is(failed[0], eventstore.ErrLossy) || !strings.Contains(failed[0].Error(), "hidden.cents") {
				t.Errorf("reported %v", failed)
			}
			accounts.Codec, failed = hiddenCodec{}, nil
		}
		if cents, err := deposit(); err != nil || cents != 100*(n+1) {
			t.Errorf("%d deposits: %d cents, %v", n+1, cents, err)
		}
	}
	found, err := snapshots.LoadSnapshot(patient(t), eventstore.SnapshotKey{Channel: channel, AggregateType: "Account", AggregateID: "a"})
	if err != nil || found.Version < 5 || len(failed) != 0 {
		t.Errorf("snapshot %+v, %v; reported %v", found, err, failed)
	}
}
