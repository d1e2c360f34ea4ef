// Package filestore reads the FILE store of NATS Streaming 0.25.6, with NATS Streaming's own code, so that its content
// can be imported.
//
// It changes only what NATS Streaming changes when it starts. It rebuilds index files that do not fit and, with
// Options.TruncateBadEOF, removes an incomplete record at the end of a file.
package filestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats-streaming-server/stores"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// Options are the options of NATS Streaming with which the files were written.
type Options struct {
	NoCRC   bool  // -file_crc=false: records have no checksums
	CRCPoly int64 // -file_crc_poly; 0 means the default
	// TruncateBadEOF removes an incomplete record at the end of a file, which is otherwise an error.
	TruncateBadEOF bool
	// Cipher and Key are -encryption_cipher and -encryption_key. Without a key the store is not encrypted. Open
	// overwrites Key.
	Cipher string
	Key    []byte
	// Logger receives what the store logs. It must not be nil.
	Logger *slog.Logger
}

// The files that identify a FILE store.
const (
	serverFile  = "server.dat"
	clientsFile = "clients.dat"
	subsFile    = "subs.dat" // in the directory of each channel
)

// Exists reports whether the directory holds a FILE store, or the remains of one.
func Exists(dir string) bool {
	for _, name := range []string{serverFile, clientsFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		_, err := os.Stat(filepath.Join(dir, entry.Name(), subsFile))
		return err == nil
	})
}

// Open reads the state of the store in a directory, but not the messages. No server may be using it.
func Open(dir string, o Options) (*former.Store, error) {
	if _, err := os.Stat(filepath.Join(dir, serverFile)); err != nil {
		return nil, fmt.Errorf("directory %s does not hold a FILE store of NATS Streaming: %w", dir, err)
	}
	if err := onlyChannels(dir); err != nil {
		return nil, err
	}
	options := []stores.FileStoreOption{
		stores.DoCRC(!o.NoCRC), stores.TruncateUnexpectedEOF(o.TruncateBadEOF), stores.CompactEnabled(false),
	}
	if o.CRCPoly != 0 {
		options = append(options, stores.CRCPolynomial(o.CRCPoly))
	}
	// Without limits: applying them would remove files.
	files, err := stores.NewFileStore(logger{o.Logger}, dir, &stores.StoreLimits{}, options...)
	if err != nil {
		return nil, fmt.Errorf("open FILE store %s: %w", dir, err)
	}
	var store stores.Store = files
	if len(o.Key) > 0 {
		if store, err = stores.NewCryptoStore(files, o.Cipher, o.Key); err != nil {
			return nil, errors.Join(fmt.Errorf("open encrypted FILE store %s: %w", dir, err), files.Close())
		}
	}
	found, err := recovered(store)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open FILE store %s: %w", dir, err), store.Close())
	}
	return found, nil
}

// onlyChannels refuses a directory that does not belong to a channel; the store would take it for one.
func onlyChannels(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open FILE store: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, entry.Name(), subsFile)); err != nil {
			return fmt.Errorf("directory %s is not a channel of the FILE store: move it elsewhere", filepath.Join(dir, entry.Name()))
		}
	}
	return nil
}

// recovered reads the state of a store.
func recovered(store stores.Store) (*former.Store, error) {
	// An active server of an FT group holds the lock.
	if locked, err := store.GetExclusiveLock(); err != nil || !locked {
		return nil, errors.Join(errors.New("another process is using it: stop that process first"), err)
	}
	state, err := store.Recover()
	if err != nil {
		return nil, err
	}
	if state == nil {
		return nil, errors.New("it is empty")
	}
	found := &former.Store{Info: state.Info, OnlyMessages: state.Info.NodeID != "", Release: store.Close}
	for _, c := range state.Clients {
		found.Clients = append(found.Clients, &c.ClientInfo)
	}
	for name, recovered := range state.Channels {
		c := &former.Channel{Name: name}
		messages := recovered.Channel.Msgs
		if c.First, c.Last, err = messages.FirstAndLastSequence(); err != nil {
			return nil, fmt.Errorf("channel %q: %w", name, err)
		}
		c.Read = func(_ context.Context, from uint64) ([]*pb.MsgProto, uint64, error) { return read(c, messages, from) }
		for _, sub := range recovered.Subscriptions {
			unacked := slices.Sorted(maps.Keys(sub.Pending))
			c.Subscriptions = append(c.Subscriptions, former.Subscription{State: sub.Sub, LastSent: sub.Sub.LastSent, Unacked: unacked})
		}
		slices.SortFunc(c.Subscriptions, func(a, b former.Subscription) int { return cmp.Compare(a.State.ID, b.State.ID) })
		found.Channels = append(found.Channels, c)
	}
	slices.SortFunc(found.Channels, func(a, b *former.Channel) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// read is former.Channel.Read.
func read(c *former.Channel, messages stores.MsgStore, from uint64) (batch []*pb.MsgProto, next uint64, err error) {
	next = max(from, c.First)
	for size := 0; next <= c.Last && len(batch) < former.BatchMessages && size < former.BatchBytes; next++ {
		m, err := messages.Lookup(next)
		if err != nil {
			return nil, 0, fmt.Errorf("read message %d of channel %q: %w", next, c.Name, err)
		}
		if m != nil {
			batch = append(batch, m)
			size += len(m.Data)
		}
	}
	return batch, max(next, from+1), nil
}

// logger receives the log of NATS Streaming's code.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, args ...any) { l.log.Info(fmt.Sprintf(format, args...)) }
func (l logger) Warnf(format string, args ...any)   { l.log.Warn(fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any)  { l.log.Error(fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any)  { l.log.Error(fmt.Sprintf(format, args...)) }
func (l logger) Debugf(string, ...any)              {}
func (l logger) Tracef(string, ...any)              {}
