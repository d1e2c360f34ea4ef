package offline

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// MoveOptions configure Move.
type MoveOptions struct {
	Serving *Serving // the server while it works; nil if it has stopped
	Left    Left     // where it leaves its store when it stops
	Follow  bool     // go on until it stops, then copy what is left
	Report  int      // invalid events to list per channel
	Out     io.Writer
}

// ErrMoreToCome means that a server still works, so that the copy is not complete.
var ErrMoreToCome = errors.New("the copy is not complete while the old server works: run the command again with --follow")

// Move copies a NATS Streaming 0.25.6 into the database, as Import does, while it works and its clients publish. Once the server has
// stopped, Move copies what is left from its store, with the exact positions of its subscriptions, so that only this takes place while
// publishers wait.
//
// The database must be empty, or hold an interrupted copy of the same store, which Move continues. No server starts on it until the copy is
// complete. Move does not change what it copies from.
func Move(ctx context.Context, o config.Options, m MoveOptions) error {
	return interrupted(ctx, moveHouse(ctx, o, m))
}

// move is one call of Move.
type move struct {
	o      MoveOptions
	old    Serving
	target *target
	told   bool      // that all is level
	leader string    // of a Raft cluster: the ID of the node that was last seen to lead
	stop   time.Time // when the old server was found gone
}

func moveHouse(ctx context.Context, o config.Options, mo MoveOptions) (err error) {
	m := &move{o: mo}
	m.o.Left.Files.Logger = o.Store.Logger
	if m.target, err = newTarget(o, mo.Report, mo.Out); err != nil {
		return err
	}
	if mo.Serving == nil {
		return m.stopped(ctx)
	}
	if mo.Follow && !mo.Left.given() {
		return errNothingLeft
	}
	m.old = *mo.Serving
	state, err := m.old.look(ctx)
	if err != nil && m.o.Left.given() && m.old.probe(ctx) == gone { // such as when this command was killed after the server had stopped
		m.target.out.line("The old server has stopped.")
		return m.stopped(ctx)
	}
	if err != nil {
		return err
	}
	if m.old.Cluster == "" {
		m.old.Cluster = state.Cluster
	}
	from, err := m.old.connect()
	if err != nil {
		return err
	}
	defer func() {
		if from != nil {
			from.close()
		}
	}()
	if err := m.target.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.target.close(ctx)) }()
	if err := m.target.begin(ctx, &spb.ServerInfo{ClusterID: m.old.Cluster}); err != nil {
		return err
	}
	// Before anybody waits: what was left to do, and the indexes while there is little to index.
	for _, f := range m.target.channels {
		if err := f.fill(ctx, m.target.db.store, m.target.events, o.Versions, m.target.out); err != nil {
			return err
		}
	}
	if err := m.target.db.store.ApplyIndexes(ctx); err != nil {
		return err
	}
	for {
		copied := &follow{m: m, from: from}
		err := copied.run(ctx)
		from = nil
		switch {
		case errors.Is(err, errLevel):
			m.target.out.line("Copied %d messages. All channels are level with the old server, which goes on. Nothing is complete before it has stopped.", copied.count)
			return ErrMoreToCome
		case !errors.Is(err, errLost):
			return err
		}
		for from == nil {
			if from, err = m.awaitEnd(ctx); err != nil {
				return err
			}
			if from != nil {
				m.target.out.line("The old server is there again. Following.")
				break
			}
			if done, err := m.rest(ctx); done || err != nil {
				return err
			}
		}
	}
}

// stopped copies the store of a server that does not work.
func (m *move) stopped(ctx context.Context) (err error) {
	left, err := m.o.Left.open(ctx, clusterSeen{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, left.Close()) }()
	for _, c := range left.Channels {
		if err := validName(c.Name); err != nil {
			return err
		}
	}
	if err := m.target.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.target.close(ctx)) }()
	if err := m.target.begin(ctx, left.Info); err != nil {
		return err
	}
	if err := m.target.takeAll(ctx, left); err != nil {
		return err
	}
	return m.finish(ctx, left)
}

// tellLevel says once that the old server can be stopped.
func (m *move) tellLevel(channels int, messages uint64) {
	if m.told {
		return
	}
	m.told = true
	m.target.out.line("%d channels are level, %d messages copied: stop the old server now. Following it until then.", channels, messages)
}

const (
	endPoll  = 100 * time.Millisecond
	endProof = 3 // refusals in a row
	endHint  = 10 * time.Second
)

// awaitEnd waits until it is certain that the old server has stopped, or until it is there again, with a connection to it.
func (m *move) awaitEnd(ctx context.Context) (*copier, error) {
	began := time.Now()
	hint := began.Add(endHint)
	for refusals := 0; refusals < endProof; {
		switch m.old.probe(ctx) {
		case alive:
			refusals = 0
			if from, err := m.old.connect(); err == nil {
				return from, nil
			}
		case gone:
			refusals++
		case silent:
			refusals = 0
		}
		if time.Now().After(hint) {
			hint = time.Now().Add(endHint)
			m.target.out.line("The old server neither works nor refuses connections, at %s or at its monitoring. If it has stopped for good, stop this command and run it again without --from-nats.", m.old.redacted())
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(endPoll):
		}
	}
	m.stop = began
	m.target.out.line("The old server has stopped. Copying what is left.")
	return nil, nil
}

// rest copies what is left. It reports false if the old server has started again meanwhile.
func (m *move) rest(ctx context.Context) (done bool, err error) {
	left, err := m.o.Left.open(ctx, clusterSeen{leader: m.leader, monitors: len(m.old.Monitor)})
	if err != nil {
		return false, err
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, left.Close())
		}
	}()
	if left.Info.ClusterID != m.old.Cluster {
		return false, errors.New("the store that the old server left has another cluster ID: name the directory or the database of that server")
	}
	if err := m.target.takeAll(ctx, left); err != nil {
		return false, err
	}
	if m.old.probe(ctx) != gone {
		open = false
		return false, left.Close()
	}
	return true, m.finish(ctx, left)
}

func (m *move) finish(ctx context.Context, left *former.Store) error {
	if err := m.target.finish(ctx, left); err != nil {
		return err
	}
	if !m.stop.IsZero() {
		m.target.out.line("Took %v since the old server was gone.", time.Since(m.stop).Round(time.Millisecond))
	}
	return nil
}

// sawState remembers who leads a Raft cluster. A leader that steps down because the others have stopped stays the last one.
func (m *move) sawState(state *oldState) {
	if state.Role == "Leader" {
		m.leader = state.Node
	}
}
