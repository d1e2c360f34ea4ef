package eventlog

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

type CopyRoute struct {
	From, Types []string
	Channel     string
	DataOnly    bool
	MatchesType func(types []string, event string) bool
}

type Metrics interface {
	PublishReceived(bytes int)
	Committed(took time.Duration, results []stores.Result)
	Failed(operation string, err error)
	Replayed(messages int)
}

type Users interface {
	Retire(ch *Channel, remove func() error) (retired bool, err error)
}

type Options struct {
	Events                                   Events
	Versions                                 []ChannelVersions
	Copies                                   []CopyRoute
	Limits                                   Limits
	StoreTimeout                             time.Duration
	MaxBatchMsgs, MaxBatchBytes              int
	TailBytes, ReadAheadBytes, PublishMemory int64
	Connections                              int
	MaxPayload                               func() int64
	Added                                    func(*Channel)
	Failed                                   func(error)
}

type Log struct{}

func New(store *stores.Store, o Options, m Metrics, log *slog.Logger) *Log { panic("not written yet") }
func (l *Log) Recover(state *stores.State)                                 { panic("not written yet") }
func (l *Log) SetUsers(Users)                                              { panic("not written yet") }
func (l *Log) Run(ctx context.Context)                                     { panic("not written yet") }
func (l *Log) Submit(s Submission)                                         { panic("not written yet") }
func (l *Log) After(f func())                                              { panic("not written yet") }
func (l *Log) Admission() *Admission                                       { panic("not written yet") }
func (l *Log) Channel(name string) *Channel                                { panic("not written yet") }
func (l *Log) Channels() []*Channel                                        { panic("not written yet") }
func (l *Log) Open(ctx context.Context, name string) (*Channel, error)     { panic("not written yet") }
func (l *Log) OutOfService(name string) error                              { panic("not written yet") }
func (l *Log) Damage() *Damage                                             { panic("not written yet") }
func (l *Log) ReplayLimit() float64                                        { panic("not written yet") }
func (l *Log) Queued() int                                                 { panic("not written yet") }

type Submission struct {
	Channel  string
	Held     int
	Received time.Time
	Decode   func(ch *Channel) ([]Message, error)
	Group    *stores.Group
	Answer   func(results []stores.Result)
}

type Message struct {
	Reply   string
	Payload []byte
	Event   *proto.Event
}

type Channel struct{}

func (c *Channel) Name() string                              { panic("not written yet") }
func (c *Channel) Stored() *stores.Channel                   { panic("not written yet") }
func (c *Channel) Info() stores.ChannelInfo                  { panic("not written yet") }
func (c *Channel) Events() *Block                            { panic("not written yet") }
func (c *Channel) Mapping() *proto.Mapping                   { panic("not written yet") }
func (c *Channel) Versions() stores.Versions                 { panic("not written yet") }
func (c *Channel) Limits() ChannelLimits                     { panic("not written yet") }
func (c *Channel) Watch(wake func()) (stop func())           { panic("not written yet") }
func (c *Channel) AddCheck(func(*proto.Event, []byte) error) { panic("not written yet") }
func (c *Channel) Touch()                                    { panic("not written yet") }
func (c *Channel) Cursor(next uint64) *Cursor                { panic("not written yet") }
func (c *Channel) Lookup(ctx context.Context, seqs []uint64) (map[uint64]stores.Message, error) {
	panic("not written yet")
}
func (c *Channel) SequenceAt(ctx context.Context, ns int64) (uint64, error) {
	panic("not written yet")
}

// TimestampInMemory returns the timestamp of a message and true, or a bound (0: none) and false.
func (c *Channel) TimestampInMemory(seq uint64) (int64, bool) { panic("not written yet") }

// Timestamp returns the timestamp of the first stored message with that sequence or a later one; 0: there is none.
func (c *Channel) Timestamp(ctx context.Context, seq uint64) (int64, error) {
	panic("not written yet")
}

type Cursor struct{}

func (c *Cursor) Next(max int) ([]stores.Message, error) { panic("not written yet") }
func (c *Cursor) Position() uint64                       { panic("not written yet") }
func (c *Cursor) Ready() <-chan struct{}                 { panic("not written yet") }
func (c *Cursor) Read(ctx context.Context, max int) ([]stores.Message, error) {
	panic("not written yet")
}
func (c *Cursor) Release() { panic("not written yet") }
func (c *Cursor) Close()   { panic("not written yet") }
