package sqlprojection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Projector returns the projector of the file: Run it, or Rebuild. Each table of the file exists once for each generation, as
// orders_1, orders_2. The view orders shows the live one; readers use that. Fields that the file says nothing of may be set before
// Run.
func (f *File) Projector(client *eventstore.Client, db *sql.DB, dialect eventstore.Dialect) (*eventstore.Projector, error) {
	decision, err := f.decision()
	if err != nil {
		return nil, err
	}
	if f.events == nil {
		return nil, errors.New("sqlprojection: make the File with Read or Parse")
	}
	a := &applier{file: f, dialect: dialect, client: client}
	p := &eventstore.Projector{
		Name: f.Name, DB: db, Dialect: dialect, Version: f.Version, Source: client.SourceAll(f.query()),
		ApplyBatch: a.apply, Create: a.create, Live: a.live, Drop: a.drop,
	}
	if decision != eventstore.Stop {
		p.OnError = func(*eventstore.Event, error) eventstore.Decision { return decision }
	}
	return p, nil
}

// applier runs the statements of a file.
type applier struct {
	file    *File
	dialect eventstore.Dialect
	client  *eventstore.Client // nil in a check
}

// apply runs the statements for events, in order, except that rows for different tables need not be inserted in turn.
func (a *applier) apply(ctx context.Context, tx *sql.Tx, events []*eventstore.Event) error {
	r := &run{applier: a, tx: tx, generation: eventstore.Generation(ctx), prepared: map[*statement]*sql.Stmt{}}
	defer r.close()
	for _, e := range events {
		if err := r.event(ctx, e); err != nil {
			return err
		}
		if e.Channel == eventstore.ErasuresChannel && e.Type == typeEventsErased && a.client != nil {
			if err := a.erased(ctx, e, func(e *eventstore.Event) error { return r.event(ctx, e) }); err != nil {
				return err
			}
		}
	}
	return r.flush(ctx)
}

func (a *applier) create(ctx context.Context, tx *sql.Tx) error {
	for _, name := range a.file.tableNames() {
		for i, s := range a.file.tables[name] {
			if _, err := tx.ExecContext(ctx, s.text(a.dialect, eventstore.Generation(ctx))); err != nil {
				return fmt.Errorf("table %s, statement %d: %w", name, i+1, err)
			}
		}
	}
	return nil
}

func (a *applier) drop(ctx context.Context, tx *sql.Tx) error {
	for _, name := range a.file.tableNames() {
		if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+eventstore.Table(ctx, name)); err != nil {
			return err
		}
	}
	return nil
}

// live makes the views show a generation.
func (a *applier) live(ctx context.Context, tx *sql.Tx) error {
	for _, name := range a.file.tableNames() {
		if err := a.view(ctx, tx, name); err != nil {
			return fmt.Errorf("view %s: %w", name, err)
		}
	}
	return nil
}

func (a *applier) view(ctx context.Context, tx *sql.Tx, name string) error {
	show := "VIEW " + name + " AS SELECT * FROM " + eventstore.Table(ctx, name)
	run := func(texts ...string) error {
		for _, text := range texts {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	}
	switch a.dialect {
	case eventstore.MySQL:
		return run("CREATE OR REPLACE " + show)
	case eventstore.PostgreSQL: // replacing keeps the view's grants, but is possible only with the same columns or more
		if err := run("SAVEPOINT eventstore_view", "CREATE OR REPLACE "+show); err == nil {
			return run("RELEASE SAVEPOINT eventstore_view")
		}
		return run("ROLLBACK TO SAVEPOINT eventstore_view", "DROP VIEW IF EXISTS "+name, "CREATE "+show)
	}
	return run("DROP VIEW IF EXISTS "+name, "CREATE "+show)
}
