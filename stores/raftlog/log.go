// Package raftlog reads what a stopped node of a Raft cluster of NATS Streaming 0.25.6 knows and its FILE store does not: clients and
// subscriptions with all that they have not acknowledged, and messages that had not reached the store. A node keeps them in a snapshot and in
// the log of the operations since then, which this package applies as the node does when it starts.
//
// It writes nothing.
package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/nats-io/nats-streaming-server/stores"
	"go.etcd.io/bbolt"
)

// Options are the options of NATS Streaming with which the log was written.
type Options struct {
	// Cipher and Key are -encryption_cipher and -encryption_key. Without a key the log is not encrypted. Open overwrites Key.
	Cipher string
	Key    []byte
}

// ErrInUse means that a node is running on the log.
var ErrInUse = errors.New("another process uses it: stop the node first")

// Log is the snapshot and the log of a node.
type Log struct {
	Members []string // IDs of the nodes of the cluster, as far as the node knows
	// Term and Index are those of the last operation. Of a majority of the nodes, the one with the highest term, and then the highest index,
	// has every operation that the cluster has confirmed.
	Term, Index uint64

	db       *bbolt.DB
	eds      *stores.EDStore
	snapshot *snapshot         // nil if there is none
	channels map[string]uint64 // IDs of the channels in the node's store
}

const (
	logFile     = "raft.log"
	lockTimeout = 500 * time.Millisecond
)

// The types of entries that count.
const (
	typeCommand       = 0
	typeConfiguration = 5
)

// entry is an entry of the log. The names are those of the encoding.
type entry struct {
	Index, Term uint64
	Type        uint8
	Data        []byte
}

// configuration is the members of the cluster. The names are those of both encodings.
type configuration struct {
	Servers []struct{ ID string }
}

func (c *configuration) members() (ids []string) {
	for _, s := range c.Servers {
		ids = append(ids, s.ID)
	}
	return ids
}

// Find returns the directory with the log below that of -cluster_log_path, where it has the name of the cluster, or that directory itself.
func Find(dir string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*", logFile))
	if _, statErr := os.Stat(filepath.Join(dir, logFile)); statErr == nil {
		found = []string{filepath.Join(dir, logFile)}
	}
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("directory %s holds %d Raft logs, want one: name the directory of -cluster_log_path, by default CLUSTER_ID/NODE_ID", dir, len(found))
	}
	return filepath.Dir(found[0]), nil
}

// Open reads the ends of the log in a directory that Find returns.
func Open(dir string, o Options) (_ *Log, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read Raft log in %s: %w", dir, err)
		}
	}()
	l := &Log{channels: map[string]uint64{}}
	if l.db, err = bbolt.Open(filepath.Join(dir, logFile), 0, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout}); err != nil {
		if errors.Is(err, bbolt.ErrTimeout) {
			err = ErrInUse
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.db.Close())
		}
	}()
	if l.snapshot, err = readSnapshot(dir); err != nil {
		return nil, err
	}
	if l.snapshot != nil {
		l.Term, l.Index, l.Members = l.snapshot.Term, l.snapshot.Index, l.snapshot.Configuration.members()
	}
	err = l.db.View(func(tx *bbolt.Tx) error {
		if channels := tx.Bucket([]byte("channels")); channels != nil {
			err := channels.ForEach(func(name, id []byte) error {
				if len(id) == 8 {
					l.channels[string(name)] = binary.BigEndian.Uint64(id)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		logs := tx.Bucket([]byte("logs"))
		if logs == nil {
			return errors.New("it has no log")
		}
		if len(o.Key) > 0 {
			last, _ := logs.Cursor().Last()
			var index uint64
			if len(last) == 8 {
				index = binary.BigEndian.Uint64(last)
			}
			var err error
			if l.eds, err = stores.NewEDStore(o.Cipher, o.Key, index); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, l.each(func(e *entry) error {
		l.Term, l.Index = e.Term, e.Index
		if e.Type == typeConfiguration {
			var c configuration
			if err := codec.NewDecoderBytes(e.Data, &codec.MsgpackHandle{}).Decode(&c); err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			l.Members = c.members()
		}
		return nil
	})
}

// each calls f for each entry after the snapshot.
func (l *Log) each(f func(*entry) error) error {
	return l.db.View(func(tx *bbolt.Tx) error {
		after := uint64(0)
		if l.snapshot != nil {
			after = l.snapshot.Index
		}
		cursor := tx.Bucket([]byte("logs")).Cursor()
		next := after + 1
		for key, value := cursor.Seek(binary.BigEndian.AppendUint64(nil, next)); key != nil; key, value = cursor.Next() {
			e := &entry{}
			if err := codec.NewDecoderBytes(value, &codec.MsgpackHandle{}).Decode(e); err != nil {
				return fmt.Errorf("entry %x: %w", key, err)
			}
			if e.Index != next {
				return fmt.Errorf("entry %d is missing: the snapshots in the directory do not belong to the log", next)
			}
			next++
			if l.eds != nil && e.Type == typeCommand && len(e.Data) > 0 {
				plain, err := l.eds.Decrypt(nil, e.Data)
				if err != nil {
					return fmt.Errorf("decrypt entry %d: %w", e.Index, err)
				}
				e.Data = plain
			}
			if err := f(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the log.
func (l *Log) Close() error { return l.db.Close() }
