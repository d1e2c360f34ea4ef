package keys

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

const (
	// cachedKeys bounds the keys in memory, about 2 KB each.
	cachedKeys = 20_000
	// freshFor is how long a server may use keys of which it does not know whether they were forgotten meanwhile. Forget waits for it.
	freshFor = time.Second
	// retryAfter is how long after a failure the master key is asked for again.
	retryAfter = 5 * time.Second
	// subjectBytes is how much of a digest names a subject.
	subjectBytes = 16
)

// Options say where keys are.
type Options struct {
	Driver string // sqlite, postgres or mysql
	Source string // of a database of its own
	Master string // file:PATH, env:NAME or command:PROGRAM
}

// IsZero reports whether nothing is configured.
func (o Options) IsZero() bool { return o == Options{} }

// Validate returns what is missing or wrong.
func (o Options) Validate() error {
	switch {
	case o.Source == "":
		return errors.New("keys.source is missing: name a database for the keys, other than that of the events, whose backups would bring forgotten keys back")
	case o.Master == "":
		return errors.New("keys.master is missing: name the master key by file:PATH, env:NAME or command:PROGRAM")
	}
	if _, err := ParseMaster(o.Master); err != nil {
		return fmt.Errorf("keys.master: %w", err)
	}
	return nil
}

// Ring has the keys of all subjects. It is safe for concurrent use.
type Ring struct {
	table  *table
	master Master
	log    *slog.Logger

	mu      sync.Mutex // held while the table is looked at for the state below
	created bool       // the tables exist
	told    string     // the failure that the log has
	row     *ring      // as last read

	failed atomic.Pointer[failure] // the last look; nil if it did not fail

	unlocked atomic.Pointer[secret] // nil while the master key is not available
	checked  atomic.Int64           // when the generation was read, in ns of the monotonic clock since start
	start    time.Time

	cache   sync.Mutex                    // held while keys are added to, or taken out of, the two below
	epoch   uint64                        // counts how often all were taken out; guarded by cache
	byName  *lru.Cache[string, tink.AEAD] // nil for a key that is known not to be there
	current *lru.Cache[string, string]    // names by subject digest

	sealed, opened, undecipherable atomic.Uint64
}

// failure is why a look at the table and the master key failed, and when.
type failure struct {
	err error
	at  time.Time
}

// recent reports whether it is too early to look again. Those who wait for the same look fail with it.
func (f *failure) recent() bool {
	if f == nil {
		return false
	}
	if errors.Is(f.err, ErrLocked) {
		return time.Since(f.at) < retryAfter
	}
	return time.Since(f.at) < freshFor
}

// secret is what the master key wraps.
type secret struct {
	raw    []byte // two keys: that of the subjects' keys, and that of the digests
	wraps  tink.AEAD
	digest []byte

	generation int64 // of the ring
}

// Open opens the ring. A master key or a database that is not available is not an error: the ring is locked until it is there, and the
// log says so.
func Open(ctx context.Context, o Options, log *slog.Logger) (*Ring, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	master, err := ParseMaster(o.Master)
	if err != nil {
		return nil, err
	}
	t, err := openTable(o.Driver, o.Source)
	if err != nil {
		return nil, fmt.Errorf("keys.source: %w", err)
	}
	r := &Ring{table: t, master: master, log: log, start: time.Now()}
	r.byName, _ = lru.New[string, tink.AEAD](cachedKeys) // fails for a size of 0
	r.current, _ = lru.New[string, string](cachedKeys)
	r.checked.Store(-int64(time.Hour))
	if err := r.refresh(ctx); errors.Is(err, errSameDatabase) {
		t.close()
		return nil, err
	}
	return r, nil
}

// Close closes the database.
func (r *Ring) Close() { r.table.close() }

// Locked returns why nothing can be encrypted or decrypted, or nil.
func (r *Ring) Locked() error {
	if f := r.failed.Load(); f != nil {
		return f.err
	}
	return nil
}

func (r *Ring) fresh() bool {
	return time.Since(r.start)-time.Duration(r.checked.Load()) < freshFor
}

// refresh learns of keys that other servers forgot, and unlocks the ring. Its error is ErrLocked, ErrUnavailable or errSameDatabase.
func (r *Ring) refresh(ctx context.Context) error {
	if r.fresh() && r.unlocked.Load() != nil {
		return nil
	}
	if f := r.failed.Load(); f.recent() {
		return f.err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fresh() && r.unlocked.Load() != nil {
		return nil
	}
	if f := r.failed.Load(); f.recent() {
		return f.err
	}
	began := time.Since(r.start)
	err := r.look(ctx)
	if err == nil {
		r.checked.Store(int64(began))
		if r.told != "" {
			r.log.Info("Fields are encrypted and decrypted again")
		}
		r.told = ""
		r.failed.Store(nil)
		return nil
	}
	if ctx.Err() == nil { // otherwise the caller gave up
		r.failed.Store(&failure{err, time.Now()})
		if text := err.Error(); text != r.told {
			r.told = text
			r.log.Error("Events with fields to encrypt are refused, and encrypted fields stay so", "error", err)
		}
	}
	return err
}

// look reads the row of the ring, and makes it if there is none. The caller holds r.mu.
func (r *Ring) look(ctx context.Context) error {
	if !r.created {
		if err := r.table.create(ctx); err != nil {
			return r.unavailable(err)
		}
		r.created = true
	}
	row, err := r.table.readRing(ctx)
	if err != nil {
		return r.unavailable(err)
	}
	if row == nil {
		if row, err = r.firstRing(ctx); err != nil {
			return err
		}
	}
	if r.row != nil && r.row.generation == row.generation && r.unlocked.Load() != nil {
		return nil
	}
	s, err := r.unwrap(ctx, row)
	if err != nil {
		r.lock()
		return err
	}
	r.drop()
	r.row = row
	r.unlocked.Store(s)
	return nil
}

func (r *Ring) lock() {
	r.unlocked.Store(nil)
	r.drop()
}

// drop takes all keys out of memory.
func (r *Ring) drop() {
	r.cache.Lock()
	defer r.cache.Unlock()
	r.epoch++
	r.byName.Purge()
	r.current.Purge()
}

// since returns what keep needs. It is called before the table is read.
func (r *Ring) since() uint64 {
	r.cache.Lock()
	defer r.cache.Unlock()
	return r.epoch
}

// keep keeps a key in memory, unless all were taken out since the table was read: it may have been forgotten then.
func (r *Ring) keep(since uint64, name string, aead tink.AEAD, digest string) {
	r.cache.Lock()
	defer r.cache.Unlock()
	if r.epoch != since {
		return
	}
	r.byName.Add(name, aead)
	if digest != "" {
		r.current.Add(digest, name)
	}
}

// firstRing makes the ring of an empty table.
func (r *Ring) firstRing(ctx context.Context) (*ring, error) {
	wrapped, err := r.master.wrap(ctx, append(newKey(), newKey()...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	added := r.table.addRing(ctx, wrapped, time.Now().UnixNano())
	row, err := r.table.readRing(ctx) // that of another server, if it was faster
	switch {
	case err != nil:
		return nil, r.unavailable(err)
	case row == nil:
		return nil, r.unavailable(added)
	case added == nil:
		r.log.Info("Made a key ring for encrypted fields", "master", r.master.String())
	}
	return row, nil
}

func (r *Ring) unwrap(ctx context.Context, row *ring) (*secret, error) {
	raw, err := r.master.unwrap(ctx, row.wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	if len(raw) != 2*keySize {
		return nil, fmt.Errorf("%w: the secret of the ring has %d bytes, not %d", ErrLocked, len(raw), 2*keySize)
	}
	wraps, err := cipher(raw[:keySize])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return &secret{raw: raw, wraps: wraps, digest: raw[keySize:], generation: row.generation}, nil
}

// unavailable makes an error of the database ErrUnavailable.
func (r *Ring) unavailable(err error) error {
	if errors.Is(err, errSameDatabase) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// subject names a subject in the table and in events.
func (s *secret) subject(id string) string {
	mac := hmac.New(sha256.New, s.digest)
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:subjectBytes])
}

// Cached returns the current keys of subjects if they are all in memory.
func (r *Ring) Cached(subjects []string) *Set {
	s := r.unlocked.Load()
	if s == nil || !r.fresh() {
		return nil
	}
	set := r.newSet(len(subjects))
	for _, id := range subjects {
		name, ok := r.current.Get(s.subject(id))
		if !ok || !set.addCached(name) {
			return nil
		}
		set.current[id] = name
	}
	return set
}

// newSet returns an empty set, to which keys are added that are looked for from now on.
func (r *Ring) newSet(n int) *Set {
	return &Set{
		ring: r, byName: make(map[string]tink.AEAD, n), current: make(map[string]string, n),
		epoch: r.since(), until: time.Duration(r.checked.Load()) + freshFor,
	}
}

// addCached adds a key that is in memory, and reports whether it, or that it is not there, is known.
func (s *Set) addCached(name string) bool {
	aead, ok := s.ring.byName.Get(name)
	if aead != nil {
		s.byName[name] = aead
	}
	return ok
}

// changes bounds how often the making of keys begins anew because others changed the table.
const changes = 5

// ForSubjects returns the current keys of subjects, and makes missing ones. The error is ErrLocked, ErrUnavailable or ctx's.
func (r *Ring) ForSubjects(ctx context.Context, subjects []string) (*Set, error) {
	for n := 1; ; n++ {
		set, err := r.forSubjects(ctx, subjects)
		if !errors.Is(err, errChanged) && !errors.Is(err, errUndecipherable) || n == changes {
			return set, err
		}
		r.invalidate()
	}
}

func (r *Ring) forSubjects(ctx context.Context, subjects []string) (*Set, error) {
	s, err := r.openedSecret(ctx)
	if err != nil {
		return nil, err
	}
	digests := make([]string, len(subjects))
	for i, id := range subjects {
		digests[i] = s.subject(id)
	}
	set := r.newSet(len(subjects))
	found, err := r.table.current(ctx, digests)
	if err == nil && len(found) < len(digests) {
		if found, err = r.add(ctx, s, digests, found); err != nil && !errors.Is(err, errChanged) {
			// Another server may have been faster.
			if again, reread := r.table.current(ctx, digests); reread == nil && len(again) == len(digests) {
				found, err = again, nil
			}
		}
	}
	if err != nil {
		return nil, r.unavailable(err)
	}
	for i, id := range subjects {
		row := found[digests[i]]
		if err := r.use(s, set, &row); err != nil {
			return nil, err
		}
		set.current[id] = row.name()
		r.keep(set.epoch, row.name(), set.byName[row.name()], digests[i])
	}
	return set, nil
}

// add makes the keys that are missing among subjects, with versions that these never had.
func (r *Ring) add(ctx context.Context, s *secret, digests []string, found map[string]row) (map[string]row, error) {
	former := map[string]int64{}
	var missing []string
	for _, d := range digests {
		if _, ok := found[d]; !ok {
			missing = append(missing, d)
		}
	}
	all, err := r.table.all(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, old := range all {
		if former[old.subject] = old.version; old.forgotten == 0 { // another server has just made it
			found[old.subject] = old
		}
	}
	var rows []row
	for _, d := range missing {
		if _, ok := found[d]; ok {
			continue
		}
		fresh, err := s.newRow(d, former[d]+1)
		if err != nil {
			return nil, err
		}
		rows, found[d] = append(rows, fresh), fresh
	}
	if len(rows) == 0 {
		return found, nil
	}
	return found, r.table.add(ctx, s.generation, rows)
}

// newRow makes a key.
func (s *secret) newRow(subject string, version int64) (row, error) {
	fresh := row{subject: subject, version: version, created: time.Now().UnixNano()}
	var err error
	fresh.wrapped, err = s.wraps.Encrypt(newKey(), subjectData(fresh.name()))
	return fresh, err
}

// use adds a key of the table to a set.
func (r *Ring) use(s *secret, set *Set, row *row) error {
	name := row.name()
	if set.addCached(name); set.byName[name] != nil {
		return nil
	}
	key, err := s.wraps.Decrypt(row.wrapped, subjectData(name))
	if err != nil {
		return fmt.Errorf("%w: key %s %w", ErrLocked, name, errUndecipherable)
	}
	aead, err := cipher(key)
	if err != nil {
		return err
	}
	set.byName[name] = aead
	return nil
}

// ForKeys returns those of the named keys that there are. The error is ErrUnavailable or ctx's: then it is not known which there are.
// Of a ring without its master key, the set is empty.
func (r *Ring) ForKeys(ctx context.Context, names []string) (*Set, error) {
	for n := 1; ; n++ {
		set, whole, err := r.forKeys(ctx, names)
		if err != nil || whole || n == changes {
			return set, err
		}
		r.invalidate()
	}
}

// forKeys also reports whether all keys of the table decrypt. Otherwise they may have been wrapped anew meanwhile.
func (r *Ring) forKeys(ctx context.Context, names []string) (set *Set, whole bool, err error) {
	if err := r.refresh(ctx); errors.Is(err, ErrLocked) {
		return nil, true, nil
	} else if err != nil {
		return nil, true, err
	}
	s := r.unlocked.Load()
	if s == nil {
		return nil, true, nil
	}
	set, whole = r.newSet(len(names)), true
	var subjects []string
	wanted := make(map[string]bool)
	for _, name := range names {
		if subject, _, ok := strings.Cut(name, "."); ok && !set.addCached(name) {
			wanted[name] = true
			subjects = append(subjects, subject)
		}
	}
	if len(subjects) == 0 {
		return set, true, nil
	}
	rows, err := r.table.all(ctx, subjects)
	if err != nil {
		return nil, true, r.unavailable(err)
	}
	for i := range rows {
		name := rows[i].name()
		if !wanted[name] || rows[i].wrapped == nil {
			continue
		}
		if err := r.use(s, set, &rows[i]); err != nil {
			r.undecipherable.Add(1) // what it encrypted stays so
			whole = false
			continue
		}
		delete(wanted, name)
		r.keep(set.epoch, name, set.byName[name], "")
	}
	for name := range wanted {
		r.keep(set.epoch, name, nil, "")
	}
	return set, whole, nil
}

// Use calls use with those of the named keys that there are, and again if one of them may have been forgotten meanwhile: what the last
// call has decrypted may be shown. The error is that of ForKeys.
func (r *Ring) Use(ctx context.Context, names []string, use func(*Set)) error {
	for {
		set, err := r.ForKeys(ctx, names)
		if err != nil {
			return err
		}
		if use(set); set.Valid() {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// UseRemembered is Use with the keys that are in memory, however long ago they were read: a server that leads learns of what it forgets
// itself. It reports whether all of the named keys that there are are in memory.
func (r *Ring) UseRemembered(names []string, use func(*Set)) (known bool) {
	for {
		set, known := r.Remembered(names)
		if use(set); set.epoch == r.since() {
			return known
		}
	}
}

// Remembered returns those of the named keys that are in memory, to compare what they decrypt. known says that there are no others. Of a
// ring without its master key, that is so, too.
func (r *Ring) Remembered(names []string) (set *Set, known bool) {
	set, known = r.newSet(len(names)), true
	locked := errors.Is(r.Locked(), ErrLocked)
	for _, name := range names {
		known = (set.addCached(name) || locked) && known
	}
	return set, known
}

// Lost reports whether an error means that the database of the keys may answer later.
func Lost(err error) bool { return errors.Is(err, ErrUnavailable) || sqlconn.Lost(err) }
