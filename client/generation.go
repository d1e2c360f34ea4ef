package eventstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrSuperseded means that the live generation of a projection has a later Version than the Projector: a newer program has built it.
var ErrSuperseded = errors.New("a newer version of the projection is live")

// errGenerations means that the generations are no longer what they were when a term began.
var errGenerations = errors.New("the generations of the projection changed")

// generations are what the table eventstore_projections says of a projection.
type generations struct {
	live, version             int // readers read the live one
	building, buildingVersion int // 0: none is being built
}

func (p *Projector) generations(ctx context.Context) (g generations, err error) {
	err = p.DB.QueryRowContext(ctx, p.Dialect.projectionTexts().projection, p.Name).Scan(&g.live, &g.version, &g.building, &g.buildingVersion)
	if err != nil {
		return g, fmt.Errorf("read the generations of projection %q: %w", p.Name, err)
	}
	return g, nil
}

// checkpointName returns the key of a generation's checkpoint: name, then name@2, name@3.
func checkpointName(name string, generation int) string {
	if generation == 1 {
		return name
	}
	return fmt.Sprintf("%s@%d", name, generation)
}

type generationKey struct{}

func withGeneration(ctx context.Context, generation int) context.Context {
	return context.WithValue(ctx, generationKey{}, generation)
}

// Generation returns the generation of the read model that a Projector's function is called for: 1, 2, 3. Elsewhere it returns 0.
func Generation(ctx context.Context) int {
	n, _ := ctx.Value(generationKey{}).(int)
	return n
}

// Table returns the name of a read model's table in the generation that a Projector's function is called for: balances_1, balances_2.
func Table(ctx context.Context, name string) string { return TableOf(name, Generation(ctx)) }

// TableOf returns what Table does in a generation.
func TableOf(name string, generation int) string { return fmt.Sprintf("%s_%d", name, generation) }

// LiveGeneration returns the generation to read from. Any process that has the DB can ask.
func (p *Projector) LiveGeneration(ctx context.Context) (int, error) {
	if err := p.createTables(ctx); err != nil {
		return 0, fmt.Errorf("find the live generation of projection %q: %w", p.Name, err)
	}
	g, err := p.generations(ctx)
	return g.live, err
}

// Rebuild builds the read model anew from the first event, or from Start, in tables of a new generation beside the live one, and makes it
// the live one in one transaction once it contains at least as much, or all that a restored log has. Meanwhile readers read the live generation, which a running
// projector keeps up to date; afterwards that projector goes on with the new one. A Rebuild that was interrupted is continued by the next
// one. The old generation stays until DropOld.
//
// Rebuild returns once the new generation is live. After a restore of the server's database, it is the way back: see
// docs/operate/restore.md.
func (p *Projector) Rebuild(ctx context.Context) error {
	r, err := p.runner(ctx)
	var g generations
	if err == nil {
		defer r.close()
		g, err = p.generations(ctx)
	}
	for err == nil {
		if g.version > p.version() {
			err = fmt.Errorf("%w: version %d is live, this program has version %d", ErrSuperseded, g.version, p.version())
			break
		}
		begun := g
		if err = r.build(ctx, g); err != nil && !errors.Is(err, errLeaseLost) && !errors.Is(err, errGenerations) {
			break
		}
		if g, err = p.generations(ctx); err == nil && g.live > begun.live {
			return nil
		}
	}
	return fmt.Errorf("rebuild projection %q: %w", p.Name, p.cause(ctx, err))
}

// build builds a generation with the projector's version, and returns nil once it is live. While a later version is being built, it waits.
func (r *runner) build(ctx context.Context, g generations) error {
	p := r.projector
	abandoned := false
	if g.building > 0 && g.buildingVersion > p.version() {
		var err error
		if abandoned, err = r.abandoned(ctx, g); err != nil {
			return err
		}
	}
	if g.building == 0 || g.buildingVersion < p.version() || abandoned {
		next := max(g.live, g.building) + 1
		if _, err := p.DB.ExecContext(ctx, r.texts.beginGeneration, next, p.version(), p.Name, g.building); err != nil {
			return err
		}
		var err error
		if g, err = p.generations(ctx); err != nil {
			return err
		}
	}
	if g.building == 0 || g.buildingVersion != p.version() {
		return errGenerations
	}
	return r.serve(ctx, term{generations: g, generation: g.building})
}

// abandoned waits for Lease, and reports whether nobody has run the build of a later version: its program was rolled back.
func (r *runner) abandoned(ctx context.Context, g generations) (bool, error) {
	name := checkpointName(r.projector.Name, g.building)
	before, err := r.held(ctx, name)
	if err != nil {
		return false, err
	}
	timer := time.NewTimer(cmp.Or(max(r.projector.Lease, 0), defaultLease))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-timer.C:
	}
	after, err := r.held(ctx, name)
	return !before && !after, err
}

// held reports whether a replica has a lease.
func (r *runner) held(ctx context.Context, name string) (bool, error) {
	var holder string
	err := r.projector.DB.QueryRowContext(ctx, r.texts.leaseHolder, name).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return holder != "", err
}

// freeze takes the lease of the live generation from the projector that runs it, and returns its checkpoint. It expires by itself.
func (r *runner) freeze(ctx context.Context, live string) (Checkpoint, error) {
	if _, err := r.projector.DB.ExecContext(ctx, r.texts.newCheckpoint, live, 0); err != nil {
		return Checkpoint{}, err
	}
	if _, err := r.projector.DB.ExecContext(ctx, r.texts.seizeLease, replaced, defaultLease.Microseconds(), live); err != nil {
		return Checkpoint{}, err
	}
	c, _, err := readCheckpoint(ctx, r.projector.DB, r.texts, live)
	return c, err
}

// replaced is the holder of the lease of a generation that is not live any more, or will soon not be.
const replaced = "replaced"

// goLive makes the generation of a term the live one, unless the live one has got ahead.
func (r *runner) goLive(ctx context.Context, t term, at uint64) (bool, error) {
	p, live := r.projector, checkpointName(r.projector.Name, t.live)
	frozen, err := r.freeze(ctx, live)
	if err != nil {
		return false, err
	}
	if frozen.Place > at {
		if lost, err := r.lost(ctx, frozen); err != nil || !lost {
			return false, err
		}
	}
	err = p.inTx(withGeneration(ctx, t.generation), func(ctx context.Context, tx *sql.Tx) error {
		// For good: the row is locked, so that its lease is not taken meanwhile.
		if _, err := tx.ExecContext(ctx, r.texts.seizeLease, replaced, int64(math.MaxInt64/4), live); err != nil {
			return err
		}
		if now, _, err := readCheckpoint(ctx, tx, r.texts, live); err != nil || now.Place != frozen.Place {
			return errors.Join(err, errGenerations)
		}
		result, err := tx.ExecContext(ctx, r.texts.switchGeneration, p.Name, t.generation)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, errGenerations)
		}
		if p.Live != nil {
			return p.Live(ctx, tx)
		}
		return nil
	})
	return err == nil, err
}

// lost reports whether the log lost what a generation has applied: a restore. Then no other generation can get that far.
func (r *runner) lost(ctx context.Context, c Checkpoint) (bool, error) {
	log, ok := r.projector.Source.(LogSource)
	if !ok {
		return false, nil
	}
	err := log.Check(ctx, c)
	var gap *GapError
	if errors.As(err, &gap) {
		return true, nil
	}
	return false, err
}

// DropOld removes the generations that are neither live nor being built, with their checkpoints and parked events. It calls Drop for each.
func (p *Projector) DropOld(ctx context.Context) error {
	err := p.createTables(ctx)
	var g generations
	if err == nil {
		g, err = p.generations(ctx)
	}
	for n := 1; err == nil && n < max(g.live, g.building); n++ {
		if n == g.live {
			continue
		}
		texts, name := p.Dialect.projectionTexts(), checkpointName(p.Name, n)
		var exists bool
		if _, exists, err = readCheckpoint(ctx, p.DB, texts, name); err != nil || !exists {
			continue
		}
		err = p.inTx(withGeneration(ctx, n), func(ctx context.Context, tx *sql.Tx) error {
			if p.Drop != nil {
				if err := p.Drop(ctx, tx); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, texts.unparkAll, name); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, texts.dropCheckpoint, name)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("drop old generations of projection %q: %w", p.Name, err)
	}
	return nil
}
