package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Description describes a key.
type Description struct {
	Name      string // in events
	Created   time.Time
	Forgotten time.Time // zero if it was not
}

func describe(r *row) Description {
	d := Description{Name: r.name(), Created: time.Unix(0, r.created)}
	if r.forgotten > 0 {
		d.Forgotten = time.Unix(0, r.forgotten)
	}
	return d
}

// opened returns the secret, after it learned of what other servers did.
func (r *Ring) openedSecret(ctx context.Context) (*secret, error) {
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	if s := r.unlocked.Load(); s != nil {
		return s, nil
	}
	return nil, ErrLocked
}

// digest returns the digest of a subject, by its identifier or, after key:, by the name of one of its keys.
func (r *Ring) digest(ctx context.Context, subject string) (string, error) {
	if name, ok := strings.CutPrefix(subject, "key:"); ok {
		digest, _, _ := strings.Cut(name, ".")
		return digest, r.refresh(ctx)
	}
	s, err := r.openedSecret(ctx)
	if err != nil {
		return "", err
	}
	return s.subject(subject), nil
}

// Digest returns what stands for a subject where it is not to be named: in the table, in events and in the audit.
func (r *Ring) Digest(ctx context.Context, subject string) (string, error) {
	return r.digest(ctx, subject)
}

// ForgetAgain deletes keys by the names of the newest ones that were forgotten once, and returns how many there were. Older versions
// belong to them. Versions that the table does not know any more get tombstones, so that no new key gets their names.
func (r *Ring) ForgetAgain(ctx context.Context, names []string) (int, error) {
	if err := r.refresh(ctx); err != nil && !errors.Is(err, ErrLocked) {
		return 0, err
	}
	newest := map[string]int64{}
	for _, name := range names {
		if digest, version, ok := parseName(name); ok {
			newest[digest] = max(newest[digest], version)
		}
	}
	known, alive := map[string]int64{}, map[string]bool{}
	rows, err := r.table.all(ctx, slices.Collect(maps.Keys(newest)))
	if err != nil {
		return 0, r.unavailable(err)
	}
	for _, row := range rows {
		known[row.subject] = row.version
		alive[row.subject] = alive[row.subject] || row.forgotten == 0 && row.version <= newest[row.subject]
	}
	forgotten := 0
	now := time.Now().UnixNano()
	for digest, version := range newest {
		if alive[digest] {
			n, _, err := r.table.forget(ctx, digest, version, now)
			if err != nil {
				return forgotten, r.unavailable(err)
			}
			forgotten += int(n)
		}
		if known[digest] < version {
			if err := r.table.bury(ctx, row{subject: digest, version: version, created: now, forgotten: now}); err != nil {
				return forgotten, r.unavailable(err)
			}
		}
	}
	if forgotten > 0 {
		r.invalidate()
	}
	return forgotten, nil
}

// parseName returns what the name of a key consists of.
func parseName(name string) (digest string, version int64, ok bool) {
	digest, text, ok := strings.Cut(name, ".")
	version, err := strconv.ParseInt(text, 10, 64)
	return digest, version, ok && err == nil
}

// Show returns the versions of a subject's key.
func (r *Ring) Show(ctx context.Context, subject string) ([]Description, error) {
	digest, err := r.digest(ctx, subject)
	if err != nil {
		return nil, err
	}
	rows, err := r.table.all(ctx, []string{digest})
	if err != nil {
		return nil, r.unavailable(err)
	}
	if len(rows) == 0 {
		return nil, ErrUnknownSubject
	}
	var all []Description
	for i := range rows {
		all = append(all, describe(&rows[i]))
	}
	return all, nil
}

// List returns up to n keys after that of a name, in the order of their names; "" is before the first one.
func (r *Ring) List(ctx context.Context, after string, n int) ([]Description, error) {
	if err := r.refresh(ctx); err != nil && !errors.Is(err, ErrLocked) {
		return nil, err
	}
	subject, version, ok := parseName(after)
	if after != "" && !ok {
		return nil, fmt.Errorf("%w: %q is not the name of a key", ErrUnknownSubject, after)
	}
	rows, err := r.table.after(ctx, subject, version, n)
	if err != nil {
		return nil, r.unavailable(err)
	}
	var all []Description
	for i := range rows {
		all = append(all, describe(&rows[i]))
	}
	return all, nil
}

// Forget deletes all versions of a subject's key, and returns their descriptions, once no server uses them any more: others, which do not
// know of it, have read the table again by then. What the keys encrypted can never be read again. If ctx ends before, the keys are
// deleted, too. A subject without keys is ErrUnknownSubject; one that was forgotten already is not an error.
func (r *Ring) Forget(ctx context.Context, subject string) ([]Description, error) {
	digest, err := r.digest(ctx, subject)
	if err != nil {
		return nil, err
	}
	_, generation, err := r.table.forget(ctx, digest, math.MaxInt64, time.Now().UnixNano())
	expired := time.NewTimer(freshFor)
	defer expired.Stop()
	r.adopt(ctx, digest, generation)
	if err != nil {
		return nil, r.unavailable(err)
	}
	select {
	case <-expired.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return r.Show(ctx, "key:"+digest)
}

// Renew makes a version of a subject's key, which encrypts from now on. Older versions decrypt what they encrypted.
func (r *Ring) Renew(ctx context.Context, subject string) ([]Description, error) {
	s, err := r.openedSecret(ctx)
	if err != nil {
		return nil, err
	}
	digest, err := r.digest(ctx, subject)
	if err != nil {
		return nil, err
	}
	rows, err := r.table.all(ctx, []string{digest})
	if err != nil {
		return nil, r.unavailable(err)
	}
	if len(rows) == 0 {
		return nil, ErrUnknownSubject
	}
	fresh, err := s.newRow(digest, rows[len(rows)-1].version+1)
	if err != nil {
		return nil, err
	}
	generation, err := r.table.renew(ctx, s.generation, fresh)
	r.adopt(ctx, digest, generation)
	if err != nil {
		return nil, r.unavailable(err)
	}
	return r.Show(ctx, "key:"+digest)
}

// Rotate wraps all keys by a new secret, and that by the first master key. It returns how many keys there are.
func (r *Ring) Rotate(ctx context.Context) (int, error) {
	r.invalidate() // the master key may just have been changed
	s, err := r.openedSecret(ctx)
	if err != nil {
		return 0, err
	}
	// The digests stay, since events name keys by them.
	fresh := append(newKey(), s.digest...)
	wraps, err := cipher(fresh[:keySize])
	if err != nil {
		return 0, err
	}
	wrapped, err := r.master.wrap(ctx, fresh)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	n, err := r.table.rewrap(ctx, s.generation, wrapped, time.Now().UnixNano(), func(row *row) error {
		key, err := s.wraps.Decrypt(row.wrapped, subjectData(row.name()))
		if err != nil {
			return fmt.Errorf("key %s does not decrypt: nothing was changed", row.name())
		}
		row.wrapped, err = wraps.Encrypt(key, subjectData(row.name()))
		return err
	})
	r.invalidate()
	if err != nil {
		return 0, r.unavailable(err)
	}
	return n, nil
}

// adopt takes over what this server has just done to the keys of a subject, by which the ring got a generation; 0 if nothing was done, or
// nobody knows. The keys of others stay in memory if this follows what the server knows: otherwise another server changed the table, too.
func (r *Ring) adopt(ctx context.Context, digest string, generation int64) {
	rows, err := r.table.all(ctx, []string{digest})
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.unlocked.Load()
	if err != nil || s == nil || r.row == nil || generation != r.row.generation+1 {
		r.forgetAll()
		return
	}
	r.cache.Lock()
	defer r.cache.Unlock()
	r.epoch++
	r.current.Remove(digest)
	for i := range rows {
		if rows[i].wrapped == nil {
			r.byName.Add(rows[i].name(), nil)
		}
	}
	next, row := *s, *r.row
	next.generation, row.generation = generation, generation
	r.row = &row
	r.unlocked.Store(&next)
}

// invalidate makes this server look at the table before it uses a key again.
func (r *Ring) invalidate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetAll()
}

// forgetAll is invalidate for a caller that holds r.mu.
func (r *Ring) forgetAll() {
	r.lock()
	r.row = nil
	r.failed.Store(nil)
	r.checked.Store(-int64(time.Hour))
}

// Counts are what a ring did since the start.
type Counts struct {
	Sealed, Opened uint64 // values
	Failed         uint64 // values or keys that did not decrypt although there is a key
	Cached         int    // keys in memory
	Locked         bool   // the last look at the table or the master key failed
}

// Counts returns what was done.
func (r *Ring) Counts() Counts {
	return Counts{r.sealed.Load(), r.opened.Load(), r.undecipherable.Load(), r.byName.Len(), r.Locked() != nil}
}
