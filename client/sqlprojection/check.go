package sqlprojection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Check returns what is wrong with the file, judged by sample events: those of the file and the given ones. Each type of event needs a
// sample, and each parameter a value in it.
func (f *File) Check(samples []Sample) (problems []error) {
	samples = slices.Concat(f.Samples, samples)
	seen := map[string]bool{}
	for i := range samples {
		e := samples[i].event(i)
		at := fmt.Sprintf("sample %d (%s)", i+1, e.Type)
		statements := f.statementsOf(e)
		if statements == nil {
			problems = append(problems, fmt.Errorf("%s: no statement is for this type, which the projection ignores", at))
			continue
		}
		key := e.Type
		if versioned := e.Type + "@" + e.Metadata[eventstore.MetadataSchemaVersion]; f.events[versioned] != nil {
			key = versioned
		}
		seen[key] = true
		d := &document{event: e, dialect: eventstore.SQLite}
		for n, s := range statements {
			for _, p := range s.parameters {
				if _, err := p.value(d); err != nil {
					problems = append(problems, fmt.Errorf("%s, statement %d: %w", at, n+1, err))
				}
			}
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(f.events)) {
		if !seen[kind] && len(samples) > 0 {
			problems = append(problems, fmt.Errorf("events: %s has no sample", kind))
		}
	}
	return append(problems, f.neverPresent(samples)...)
}

// neverPresent returns optional parameters of event_data and metadata that no sample has.
func (f *File) neverPresent(samples []Sample) (problems []error) {
	type use struct {
		kind string
		text string
	}
	absent := map[use]bool{}
	for i := range samples {
		e := samples[i].event(i)
		for _, s := range f.statementsOf(e) {
			for _, p := range s.parameters {
				if !p.optional || p.event != "" {
					continue
				}
				_, err := p.find(&document{event: e, dialect: eventstore.SQLite})
				it := use{e.Type, p.text}
				if _, known := absent[it]; !known {
					absent[it] = true
				}
				absent[it] = absent[it] && errors.Is(err, errAbsent)
			}
		}
	}
	for it, never := range absent {
		if never {
			problems = append(problems, fmt.Errorf("events: %s: no sample has %s: is it misspelt?", it.kind, it.text))
		}
	}
	slices.SortFunc(problems, func(a, b error) int {
		if a.Error() < b.Error() {
			return -1
		}
		return 1
	})
	return problems
}

// trial is the number of the generation whose tables a check creates and drops.
const trial = 0

// CheckDatabase creates the tables of the file in a database, under names that end with _0, prepares each statement, runs those of the
// samples in a transaction that it rolls back, and drops the tables. It returns what failed.
func (f *File) CheckDatabase(ctx context.Context, db *sql.DB, dialect eventstore.Dialect, samples []Sample) (problems []error, err error) {
	a := &applier{file: f, dialect: dialect}
	if err := a.inTx(ctx, db, a.drop); err != nil { // of a check that was interrupted
		return nil, fmt.Errorf("drop tables of an earlier check: %w", err)
	}
	defer func() {
		err = errors.Join(err, a.inTx(context.WithoutCancel(ctx), db, a.drop))
	}()
	if err := a.inTx(ctx, db, a.create); err != nil {
		return []error{err}, nil
	}
	for key, statements := range map[string]map[string][]*statement{"erased": f.erased, "events": f.events} {
		for _, kind := range slices.Sorted(maps.Keys(statements)) {
			for i, s := range statements[kind] {
				if err := prepares(ctx, db, s.text(dialect, trial)); err != nil {
					problems = append(problems, fmt.Errorf("%s: %s, statement %d: %w", key, kind, i+1, err))
				}
			}
		}
	}
	if len(problems) > 0 || ctx.Err() != nil {
		return problems, ctx.Err()
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // nothing of a check is to stay
	samples = slices.Concat(f.Samples, samples)
	for i := range samples {
		e := samples[i].event(i)
		gone := *e
		gone.Erased, gone.Payload, gone.Metadata, gone.Tags = 1, nil, nil, nil
		if err := a.apply(ctx, tx, []*eventstore.Event{e, &gone}); err != nil { // PostgreSQL runs nothing more in this transaction
			return append(problems, fmt.Errorf("sample %d (%s): %w", i+1, e.Type, err)), nil
		}
	}
	return problems, nil
}

func (a *applier) inTx(ctx context.Context, db *sql.DB, do func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit; otherwise the first error is the one to return
	if err := do(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// prepares returns why a database does not take a statement.
func prepares(ctx context.Context, db *sql.DB, text string) error {
	ready, err := db.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer ready.Close()
	return nil
}
