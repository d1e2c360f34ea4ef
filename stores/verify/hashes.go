package verify

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// Chain says how Run checks the chain of hashes.
type Chain struct {
	Only bool         // check nothing else
	From uint64       // the event at this position and those before it are not read; its hash is trusted
	Kept []chain.Head // heads that somebody has kept outside of the database
	// Key must have signed all heads; nil: each head has its own.
	Key ed25519.PublicKey
}

const (
	hashesText = "SELECT position, id, seq, timestamp, event_id, event_type, aggregate_type, aggregate_id, event_version, appender, chain, data FROM Messages WHERE position > %s ORDER BY position LIMIT %s"
	headsText  = "SELECT position, hash, time, cluster_id, public_key, signature FROM ChainHeads ORDER BY position"
	hashAtText = "SELECT position, chain FROM Messages WHERE position = "

	hashKind = "chain"
)

// hashRow is an event with what the chain says of it.
type hashRow struct {
	chain.Event
	link   chain.Link
	data   []byte
	digest chain.Hash // of the content, if the link is valid
}

// hashPage is what one query has read.
type hashPage struct {
	rows   []hashRow
	block  []byte        // of the columns in bytes
	hashed chan struct{} // closed when each content is known
}

// hashCheck is what is known of the chain up to a position.
type hashCheck struct {
	*check
	names  map[int64]string
	heads  map[uint64][]heldHead // that were not compared yet, by position
	hasher *chain.Hasher
	at     uint64 // position of the last event
	linked uint64 // position of the last event with a hash
	hash   chain.Hash
	first  bool // nothing differed yet
}

// heldHead is a head, and who has it.
type heldHead struct {
	chain.Head
	where string
}

func (h *heldHead) String() string {
	return fmt.Sprintf("the head of %s in %s", h.Time.UTC().Format(time.RFC3339), h.where)
}

// hashes checks the chain of hashes against the events, and heads against the chain.
func (c *check) hashes(ctx context.Context) error {
	h := &hashCheck{check: c, names: map[int64]string{}, heads: map[uint64][]heldHead{}, hasher: chain.NewHasher(), first: true}
	if err := c.snapshot.Query(ctx, "SELECT id, name FROM Channels", func(rows *sql.Rows) error {
		var id int64
		var name string
		err := rows.Scan(&id, &name)
		h.names[id] = name
		return err
	}); err != nil {
		return err
	}
	if err := h.readHeads(ctx); err != nil {
		return err
	}
	if err := h.begin(ctx); err != nil {
		return err
	}
	if err := h.follow(ctx); err != nil {
		return err
	}
	return h.missing(ctx)
}

// missing reports heads whose event is not there.
func (h *hashCheck) missing(ctx context.Context) error {
	var given sql.NullInt64
	if err := h.snapshot.Query(ctx, givenText, func(rows *sql.Rows) error { return rows.Scan(&given) }); err != nil {
		return err
	}
	for position, heads := range h.heads {
		to := h.findings
		if !h.Chain.Only && position <= uint64(given.Int64) { // other checks tell whether it may be missing
			to = h.notes
		}
		for i := range heads {
			why := fmt.Sprintf("no event has its position, %d", position)
			if position > h.at {
				why = fmt.Sprintf("it names position %d, but the last event has position %d: events at the end were removed", position, h.at)
			}
			to.add(hashKind, "ChainHeads", fmt.Sprintf("position %d", position), "%s: %s", &heads[i], why)
		}
	}
	return nil
}

// bad reports what differs.
func (h *hashCheck) bad(table, key, format string, args ...any) {
	h.findings.add(hashKind, table, key, format, args...)
}

// readHeads reads the heads of the database, adds the kept ones, and checks signatures.
func (h *hashCheck) readHeads(ctx context.Context) error {
	err := h.snapshot.Query(ctx, headsText, func(rows *sql.Rows) error {
		held := heldHead{where: "the database"}
		var hash, key, signature []byte
		var at int64
		ok, err := h.scanned(rows, "ChainHeads", &held.Position, &hash, &at, &held.ClusterID, &key, &signature)
		if err != nil || !ok {
			return err
		}
		copy(held.Hash[:], hash)
		held.Time, held.Key, held.Signature = time.Unix(0, at), key, signature
		h.hold(held)
		return nil
	})
	for _, kept := range h.Chain.Kept {
		h.hold(heldHead{kept, "the file"})
	}
	return err
}

func (h *hashCheck) hold(held heldHead) {
	err := held.Check(h.Chain.Key)
	if err != nil && (h.Chain.Key != nil || !errors.Is(err, chain.ErrUnsigned)) {
		h.bad("ChainHeads", fmt.Sprintf("position %d", held.Position), "%s: %v", &held, err)
		return
	}
	h.report.Heads++
	h.heads[held.Position] = append(h.heads[held.Position], held)
}

// begin trusts the hash of the event from which the check begins, once heads there and before it were compared.
func (h *hashCheck) begin(ctx context.Context) error {
	from := h.Chain.From
	if from == 0 {
		return nil
	}
	read := func(position uint64) (found bool, link chain.Link, err error) {
		err = h.snapshot.Query(ctx, fmt.Sprint(hashAtText, position), func(rows *sql.Rows) error {
			found = true
			return rows.Scan(&position, (*[]byte)(&link))
		})
		return found, link, err
	}
	for position := range h.heads {
		if position > from {
			continue
		}
		found, link, err := read(position)
		if err != nil {
			return err
		}
		if found {
			h.compare(position, link)
		}
	}
	h.at, h.linked = from, from
	switch found, link, err := read(from); {
	case err != nil:
		return err
	case !found || !link.Valid():
		h.bad("Messages", fmt.Sprintf("position %d", from), "there is no event with a hash, from which the check was to begin")
	default:
		h.hash = link.Hash()
	}
	return nil
}

// compare compares heads with the hash of their event.
func (h *hashCheck) compare(position uint64, link chain.Link) {
	for i := range h.heads[position] {
		if held := &h.heads[position][i]; !link.Valid() || held.Hash != link.Hash() {
			h.bad("Messages", fmt.Sprintf("position %d", position), "its hash is not that of %s: it, or an event before it, was changed and the chain computed anew", held)
		}
	}
	delete(h.heads, position)
}

// follow reads events by position. One goroutine reads, others compute digests, and one more follows the links in order.
func (h *hashCheck) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, ordered := make(chan *hashPage, h.workers), make(chan *hashPage, 2*h.workers)
	done := make(chan struct{})
	for range h.workers {
		go func() {
			hasher := chain.NewHasher()
			for page := range work {
				page.digest(hasher)
			}
		}()
	}
	go func() {
		defer close(done)
		for page := range ordered {
			<-page.hashed
			for i := range page.rows {
				h.link(&page.rows[i])
			}
		}
	}()
	text := fmt.Sprintf(hashesText, "?", "?")
	if h.snapshot.Driver == "postgres" {
		text = fmt.Sprintf(hashesText, "$1", "$2")
	}
	total := max(h.report.Events, h.Chain.From)
	var err error
	for from, n := h.Chain.From, uint64(0); err == nil; {
		var page *hashPage
		if page, err = h.readPage(ctx, text, from); err != nil || len(page.rows) == 0 {
			break
		}
		from = page.rows[len(page.rows)-1].Position
		work <- page
		ordered <- page
		n += uint64(len(page.rows))
		h.progress("hashes", n, total)
	}
	close(work)
	close(ordered)
	<-done
	return err
}

func (h *hashCheck) readPage(ctx context.Context, text string, from uint64) (*hashPage, error) {
	page := &hashPage{rows: make([]hashRow, 0, stepRows), hashed: make(chan struct{})}
	bytes := 0
	var id, typ, aggregateType, aggregateID sql.NullString
	var version, appender sql.NullInt64
	var channel int64
	var link, data sql.RawBytes
	err := h.snapshot.Query(ctx, text, func(rows *sql.Rows) error {
		page.rows = append(page.rows, hashRow{})
		r := &page.rows[len(page.rows)-1]
		ok, err := h.scanned(rows, "Messages", &r.Position, &channel, &r.Sequence, &r.Timestamp, &id, &typ, &aggregateType, &aggregateID, &version, &appender, &link, &data)
		if err != nil || !ok {
			page.rows = page.rows[:len(page.rows)-1]
			return err
		}
		r.Channel, r.EventID, r.Type, r.AggregateType, r.AggregateID = h.names[channel], id.String, typ.String, aggregateType.String, aggregateID.String
		r.Version, r.Appender = uint64(version.Int64), uint64(appender.Int64)
		r.link, r.data = page.keep(link), page.keep(data)
		if bytes += len(data); bytes >= stepBytes {
			return errEnough
		}
		return nil
	}, from, stepRows)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return page, err
}

// keep copies a column; nil stays nil.
func (p *hashPage) keep(column []byte) []byte {
	if column == nil {
		return nil
	}
	if len(column) > cap(p.block)-len(p.block) {
		p.block = make([]byte, 0, max(len(column), 64<<10))
	}
	start := len(p.block)
	p.block = append(p.block, column...)
	return p.block[start:len(p.block):len(p.block)]
}

func (p *hashPage) digest(h *chain.Hasher) {
	defer close(p.hashed)
	for i := range p.rows {
		if r := &p.rows[i]; r.link.Valid() {
			r.digest = r.link.Digest(h, r.data)
		}
	}
}

// link checks an event against the one before it. After a difference, the chain goes on from what the event says.
func (h *hashCheck) link(r *hashRow) {
	key := fmt.Sprintf("position %d, channel %q, sequence %d", r.Position, r.Channel, r.Sequence)
	before := h.at
	h.at = r.Position
	h.report.Chained++
	switch {
	case r.link == nil:
		h.bad("Messages", key, "it has no hash: another program stored it; migrate, or the next start of a server, gives one to those at the end")
		return
	case !r.link.Valid():
		h.bad("Messages", key, "the column chain has %d bytes, and must have %d, or %d once the content is erased", len(r.link), chain.LinkSize, chain.ErasedLinkSize)
		return
	case r.link.Erased():
		h.report.ErasedContents++
	}
	if h.hasher.Next(&h.hash, &r.Event, &r.digest) != r.link.Hash() {
		h.broken(r, before, key)
	}
	h.hash, h.linked = r.link.Hash(), r.Position
	if h.heads[r.Position] != nil {
		h.compare(r.Position, r.link)
	}
}

// broken reports an event whose hash does not follow from the one before. Where events are missing before it, other checks tell whether they
// may be: then it is only a note that the chain cannot.
func (h *hashCheck) broken(r *hashRow, before uint64, key string) {
	why := fmt.Sprintf("its hash does not follow from its content and the hash at position %d", h.linked)
	missing := r.Position > before+1
	if missing {
		why += fmt.Sprintf("; the events at positions %d to %d are missing", before+1, r.Position-1)
	}
	if missing && !h.Chain.Only {
		h.notes.add(hashKind, "Messages", key, "%s", why)
		return
	}
	if h.first {
		why += ": this is the first event that differs"
	}
	h.first = false
	h.bad("Messages", key, "%s", why)
}
