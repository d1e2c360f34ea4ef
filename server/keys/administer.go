package keys

import (
	"context"
	"errors"
	"fmt"
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

// ForgetAgain deletes keys of a subject, by its digest, that were made before it was forgotten, and returns how many there were.
func (r *Ring) ForgetAgain(ctx context.Context, digest string, forgotten int64) (int, error) {
	if err := r.refresh(ctx); err != nil && !errors.Is(err, ErrLocked) {
		return 0, err
	}
	n, err := r.table.forget(ctx, digest, forgotten, time.Now().UnixNano())
	if n > 0 {
		r.invalidate()
	}
	if err != nil {
		err = r.failure(err)
	}
	return int(n), err
}

// Show returns the versions of a subject's key.
func (r *Ring) Show(ctx context.Context, subject string) ([]Description, error) {
	digest, err := r.digest(ctx, subject)
	if err != nil {
		return nil, err
	}
	rows, err := r.table.all(ctx, []string{digest})
	if err != nil {
		return nil, r.failure(err)
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
	subject, version := after, int64(0)
	if i := strings.LastIndexByte(after, '.'); i >= 0 {
		subject = after[:i]
		if _, err := fmt.Sscan(after[i+1:], &version); err != nil {
			return nil, fmt.Errorf("%q is not the name of a key", after)
		}
	}
	rows, err := r.table.after(ctx, subject, version, n)
	if err != nil {
		return nil, r.failure(err)
	}
	var all []Description
	for i := range rows {
		all = append(all, describe(&rows[i]))
	}
	return all, nil
}

// Forget deletes all versions of a subject's key, and returns their descriptions. What they encrypted can never be read again. A subject
// without keys is ErrUnknownSubject; one that was forgotten already is not an error.
func (r *Ring) Forget(ctx context.Context, subject string) ([]Description, error) {
	digest, err := r.digest(ctx, subject)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixNano()
	_, err = r.table.forget(ctx, digest, now, now)
	r.invalidate()
	if err != nil {
		return nil, r.failure(err)
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
		return nil, r.failure(err)
	}
	if len(rows) == 0 {
		return nil, ErrUnknownSubject
	}
	fresh, err := s.newRow(digest, rows[len(rows)-1].version+1)
	if err != nil {
		return nil, err
	}
	err = r.table.renew(ctx, fresh)
	r.invalidate()
	if err != nil {
		return nil, r.failure(err)
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
	r.mu.Lock()
	from := r.row
	r.mu.Unlock()
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
	n, err := r.table.rewrap(ctx, from, wrapped, time.Now().UnixNano(), func(row *row) error {
		key, err := s.wraps.Decrypt(row.wrapped, subjectData(row.name()))
		if err != nil {
			return fmt.Errorf("key %s does not decrypt: nothing was changed", row.name())
		}
		row.wrapped, err = wraps.Encrypt(key, subjectData(row.name()))
		return err
	})
	r.invalidate()
	if err != nil {
		return 0, r.failure(err)
	}
	return n, nil
}

// invalidate makes this server look at the table before it uses a key again.
func (r *Ring) invalidate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lock()
	r.row, r.why = nil, nil
	r.checked.Store(-int64(time.Hour))
}

// Counts are what a ring did since the start.
type Counts struct {
	Sealed, Opened uint64 // values
	Failed         uint64 // values or keys that did not decrypt although there is a key
	Cached         int    // keys in memory
}

// Counts returns what was done.
func (r *Ring) Counts() Counts {
	return Counts{r.sealed.Load(), r.opened.Load(), r.failed.Load(), r.byName.Len()}
}
