// Package filestore reads the FILE store of NATS Streaming 0.25.6, with NATS Streaming's own code, so that its content
// can be imported.
//
// It changes only what NATS Streaming changes when it starts. It rebuilds index files that do not fit and, with
// Options.TruncateBadEOF, removes an incomplete record at the end of a file.
package filestore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats-streaming-server/spb"
	former "github.com/nats-io/nats-streaming-server/stores"
	"github.com/nats-io/stan.go/pb"
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

// Store is the content of a FILE store.
type Store struct {
	Info     *spb.ServerInfo
	Clients  []*spb.ClientInfo
	Channels []*Channel // by name

	store former.Store
}

// Channel is a channel of the store.
type Channel struct {
	Name          string
	Subscriptions []Subscription // by ID
	First, Last   uint64         // sequences of the messages in the files, 0 if there are none

	messages former.MsgStore
}

// Subscription is a subscription with the sequences that it was sent and has not acknowledged, ascending.
type Subscription struct {
	State   *spb.SubState
	Unacked []uint64
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
func Open(dir string, o Options) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, serverFile)); err != nil {
		return nil, fmt.Errorf("directory %s does not hold a FILE store of NATS Streaming: %w", dir, err)
	}
	if err := onlyChannels(dir); err != nil {
		return nil, err
	}
	options := []former.FileStoreOption{
		former.DoCRC(!o.NoCRC), former.TruncateUnexpectedEOF(o.TruncateBadEOF), former.CompactEnabled(false),
	}
	if o.CRCPoly != 0 {
		options = append(options, former.CRCPolynomial(o.CRCPoly))
	}
	// Without limits: applying them would remove files.
	files, err := former.NewFileStore(logger{o.Logger}, dir, &former.StoreLimits{}, options...)
	if err != nil {
		return nil, fmt.Errorf("open FILE store %s: %w", dir, err)
	}
	s := &Store{store: files}
	if len(o.Key) > 0 {
		if s.store, err = former.NewCryptoStore(files, o.Cipher, o.Key); err != nil {
			return nil, errors.Join(fmt.Errorf("open encrypted FILE store %s: %w", dir, err), files.Close())
		}
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open FILE store %s: %w", dir, err), s.Close())
	}
	return s, nil
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

func (s *Store) recover() error {
	// An active server of an FT group holds the lock.
	if locked, err := s.store.GetExclusiveLock(); err != nil || !locked {
		return errors.Join(errors.New("another process is using it: stop that process first"), err)
	}
	state, err := s.store.Recover()
	if err != nil {
		return err
	}
	if state == nil {
		return errors.New("it is empty")
	}
	s.Info = state.Info
	for _, c := range state.Clients {
		s.Clients = append(s.Clients, &c.ClientInfo)
	}
	for name, recovered := range state.Channels {
		c := &Channel{Name: name, messages: recovered.Channel.Msgs}
		if c.First, c.Last, err = c.messages.FirstAndLastSequence(); err != nil {
			return fmt.Errorf("channel %q: %w", name, err)
		}
		for _, sub := range recovered.Subscriptions {
			unacked := make([]uint64, 0, len(sub.Pending))
			for sequence := range sub.Pending {
				unacked = append(unacked, sequence)
			}
			slices.Sort(unacked)
			c.Subscriptions = append(c.Subscriptions, Subscription{sub.Sub, unacked})
		}
		slices.SortFunc(c.Subscriptions, func(a, b Subscription) int { return cmp.Compare(a.State.ID, b.State.ID) })
		s.Channels = append(s.Channels, c)
	}
	slices.SortFunc(s.Channels, func(a, b *Channel) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// Message returns a message of the channel, or nil if none has the sequence.
func (c *Channel) Message(sequence uint64) (*pb.MsgProto, error) {
	m, err := c.messages.Lookup(sequence)
	if err != nil {
		return nil, fmt.Errorf("read message %d of channel %q: %w", sequence, c.Name, err)
	}
	return m, nil
}

// Close closes the files.
func (s *Store) Close() error { return s.store.Close() }

// logger receives the log of NATS Streaming's code.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, args ...any) { l.log.Info(fmt.Sprintf(format, args...)) }
func (l logger) Warnf(format string, args ...any)   { l.log.Warn(fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any)  { l.log.Error(fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any)  { l.log.Error(fmt.Sprintf(format, args...)) }
func (l logger) Debugf(string, ...any)              {}
func (l logger) Tracef(string, ...any)              {}
