package sqlprojection

import (
	"context"
	"database/sql"
	"fmt"

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

// rows are to be inserted into a table by as few statements as possible: one, or one for each time that a key comes again where a statement
// may have it only once.
type rows struct {
	statement  *statement
	number     int // of the statement, among those for the event
	count      int
	statements []values
	times      map[string]int // that a key came
}

// values are those of the rows of a statement.
type values struct {
	rows int
	list []any
}

func (r *run) close() {
	for _, s := range r.prepared {
		if s != nil {
			_ = s.Close() // the end of the transaction closes it, too
		}
	}
}

// event runs the statements for an event.
func (r *run) event(ctx context.Context, e *eventstore.Event) error {
	d := &document{event: e, dialect: r.dialect}
	for i, s := range r.file.statementsOf(e) {
		values, err := s.values(nil, d)
		if err != nil {
			return fmt.Errorf("statement %d: %w", i+1, err)
		}
		if err := r.exec(ctx, s, i+1, values); err != nil {
			return err
		}
	}
	return nil
}

// exec runs a statement, or holds its row back. An error names the number of the statement that failed, which may be an earlier one.
func (r *run) exec(ctx context.Context, s *statement, number int, row []any) error {
	in := s.insert
	if !in.mergeable(r.dialect) {
		if err := r.flush(ctx); err != nil {
			return err
		}
		if err := r.one(ctx, s, row); err != nil {
			return fmt.Errorf("statement %d: %w", number, err)
		}
		return nil
	}
	p := r.rowsFor(s, number)
	if p == nil {
		if err := r.flush(ctx); err != nil {
			return err
		}
		p = r.rowsFor(s, number)
	}
	n := 0
	if in.updates && r.dialect == eventstore.PostgreSQL {
		key := in.keyOf(row)
		n = p.times[key]
		p.times[key]++
	}
	if n == len(p.statements) {
		p.statements = append(p.statements, values{})
	}
	p.statements[n].rows++
	p.statements[n].list = append(p.statements[n].list, row...)
	p.count++
	return nil
}

// rowsFor returns where to hold a row of a statement back, or nil if the rows before it must be inserted first.
func (r *run) rowsFor(s *statement, number int) *rows {
	for _, p := range r.pending {
		if p.statement.insert.table != s.insert.table {
			continue
		}
		if p.statement != s || p.count == s.insert.perStatement {
			return nil
		}
		return p
	}
	p := &rows{statement: s, number: number, times: map[string]int{}}
	r.pending = append(r.pending, p)
	return p
}

// flush inserts the rows that were held back.
func (r *run) flush(ctx context.Context) error {
	for _, p := range r.pending {
		for _, v := range p.statements {
			text := p.statement.insert.text(r.dialect, r.generation, v.rows)
			if _, err := r.tx.ExecContext(ctx, text, v.list...); err != nil {
				return fmt.Errorf("statement %d: %w", p.number, err)
			}
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
