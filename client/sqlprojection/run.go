package sqlprojection

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// run runs the statements of events in a transaction. It holds rows back, to insert those of several events by one statement.
type run struct {
	*applier
	tx         *sql.Tx
	generation int
	pending    []*rows                  // of different tables, in the order in which their first rows came
	prepared   map[*statement]*sql.Stmt // nil: it was run once
}

// rows are to be inserted by one statement.
type rows struct {
	statement *statement
	number    int // of the statement, among those for the event
	count     int
	values    []any
	keys      map[string]struct{} // nil: a statement may have a key more than once
}

func (r *run) close() {
	for _, s := range r.prepared {
		if s != nil {
			_ = s.Close() // the end of the transaction closes it, too
		}
	}
}

// exec runs a statement, or holds its row back. An error names the number of the statement that failed, which may be an earlier one.
func (r *run) exec(ctx context.Context, s *statement, number int, values []any) error {
	in := s.insert
	if !in.mergeable(r.dialect) {
		if err := r.flush(ctx); err != nil {
			return err
		}
		if err := r.one(ctx, s, values); err != nil {
			return fmt.Errorf("statement %d: %w", number, err)
		}
		return nil
	}
	i := slices.IndexFunc(r.pending, func(p *rows) bool { return p.statement.insert.table == in.table })
	key := ""
	once := in.updates && r.dialect == eventstore.PostgreSQL
	if once {
		key = in.keyOf(values)
	}
	if i >= 0 {
		p := r.pending[i]
		_, there := p.keys[key]
		if p.statement != s || p.count == in.perStatement || once && there {
			if err := r.flush(ctx); err != nil {
				return err
			}
			i = -1
		}
	}
	if i < 0 {
		p := &rows{statement: s, number: number}
		if once {
			p.keys = map[string]struct{}{}
		}
		i, r.pending = len(r.pending), append(r.pending, p)
	}
	p := r.pending[i]
	p.count, p.values = p.count+1, append(p.values, values...)
	if once {
		p.keys[key] = struct{}{}
	}
	return nil
}

// flush inserts the rows that were held back.
func (r *run) flush(ctx context.Context) error {
	for _, p := range r.pending {
		text := p.statement.insert.text(r.dialect, r.generation, p.count)
		if _, err := r.tx.ExecContext(ctx, text, p.values...); err != nil {
			return fmt.Errorf("statement %d: %w", p.number, err)
		}
	}
	r.pending = r.pending[:0]
	return nil
}

// one runs a statement. It prepares one that is run again.
func (r *run) one(ctx context.Context, s *statement, values []any) error {
	ready, again := r.prepared[s]
	if !again {
		r.prepared[s] = nil
		_, err := r.tx.ExecContext(ctx, s.text(r.dialect, r.generation), values...)
		return err
	}
	if ready == nil {
		var err error
		if ready, err = r.tx.PrepareContext(ctx, s.text(r.dialect, r.generation)); err != nil {
			return err
		}
		r.prepared[s] = ready
	}
	_, err := ready.ExecContext(ctx, values...)
	return err
}
