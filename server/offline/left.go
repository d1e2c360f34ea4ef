package offline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/filestore"
	"github.com/nats-eventstore/nats-eventstore/stores/former"
	"github.com/nats-eventstore/nats-eventstore/stores/raftlog"
)

// Left says where the store of a NATS Streaming is that has stopped: in files or in a SQL database.
type Left struct {
	Dirs  []string          // directory of a FILE store, or those of several nodes of a Raft cluster
	Logs  []string          // directories of the Raft logs of those nodes, in the same order
	Files filestore.Options // how the files were written; the logger is that of the options
	SQL   *stores.Options   // the database of a SQL store
}

// errNothingLeft refuses to follow a server whose remainder cannot be read.
var errNothingLeft = errors.New("where the old server leaves its store is not known: name the directory of its FILE store with --from-dir, or its database with --from-dsn")

func (l *Left) given() bool { return len(l.Dirs) > 0 || l.SQL != nil }

// clusterSeen is what is known about a Raft cluster from watching it.
type clusterSeen struct {
	leader   string // ID of the node that led last; empty if that is not known
	monitors int    // nodes that are known to have stopped
}

// open reads the state of the store, but not its messages.
func (l *Left) open(ctx context.Context, seen clusterSeen) (*former.Store, error) {
	switch {
	case l.SQL != nil:
		return stores.ReadFormer(ctx, *l.SQL)
	case len(l.Logs) > 0:
		return l.openNode(seen)
	case len(l.Dirs) == 1:
		found, err := filestore.Open(l.Dirs[0], l.files())
		if err == nil && found.OnlyMessages {
			err = errors.Join(fmt.Errorf("%s belongs to node %s of a Raft cluster, and holds only messages: name the directory of its Raft log (-cluster_log_path) with --from-log, too", l.Dirs[0], found.Info.NodeID), found.Close())
		}
		return found, err
	case len(l.Dirs) > 1:
		return nil, errors.New("several FILE stores are the nodes of a Raft cluster: name the directory of each one's Raft log with --from-log, in the same order")
	}
	return nil, errNothingLeft
}

// files returns the options of a store, which overwrites the key.
func (l *Left) files() filestore.Options {
	o := l.Files
	o.Key = slices.Clone(o.Key)
	return o
}

// openNode reads the state of that node of a cluster which has everything.
func (l *Left) openNode(seen clusterSeen) (_ *former.Store, err error) {
	if len(l.Dirs) != len(l.Logs) {
		return nil, errors.New("each node of a Raft cluster has a FILE store and a Raft log: name both, with --from-dir and --from-log, in the same order")
	}
	var logs []*raftlog.Log
	defer func() {
		for _, one := range logs {
			err = errors.Join(err, one.Close())
		}
	}()
	for _, dir := range l.Logs {
		at, err := raftlog.Find(dir)
		if err != nil {
			return nil, err
		}
		one, err := raftlog.Open(at, raftlog.Options{Cipher: l.Files.Cipher, Key: slices.Clone(l.Files.Key)})
		if err != nil {
			return nil, err
		}
		logs = append(logs, one)
	}
	best, certain := raftlog.Newest(logs)
	store, err := filestore.Open(l.Dirs[best], l.files())
	if err != nil {
		return nil, err
	}
	if nodes := len(logs[best].Members); !certain && (seen.leader == "" || store.Info.NodeID != seen.leader || seen.monitors < nodes) {
		err = fmt.Errorf("node %s may lack what its cluster of %d nodes confirmed: name --from-dir and --from-log of a majority of the nodes; or, of the one that led last alone, if --from-monitor names all nodes", store.Info.NodeID, nodes)
	} else {
		err = logs[best].Apply(store)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}
