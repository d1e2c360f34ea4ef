// Package console serves pages for operators on the API's port: what the log holds, who reads it, and what an administrator may do about
// it. A page calls the API in the process, with the rights of whoever looks at it. docs/operate/console.md is its contract.
package console

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/ask"
	"github.com/nats-eventstore/nats-eventstore/stores/verify"
)

// API is what the console needs of the API: api.Inside documents it.
type API interface {
	Enter(r *http.Request, token string) (context.Context, api.Visitor)
	Anonymous() bool
	Encrypted() bool
	Refused(r *http.Request, err error)
	Admin() eventstorev1connect.AdminHandler
	ListChannels(ctx context.Context, req *eventstorev1.ListChannelsRequest) (*eventstorev1.ListChannelsResponse, error)
	GetHead(ctx context.Context, req *eventstorev1.GetHeadRequest) (*eventstorev1.GetHeadResponse, error)
	GetEvent(ctx context.Context, req *eventstorev1.GetEventRequest) (*eventstorev1.GetEventResponse, error)
	Read(ctx context.Context, req *eventstorev1.ReadRequest, send func(*eventstorev1.ReadResponse) error) error
	ReadAggregate(ctx context.Context, req *eventstorev1.ReadAggregateRequest, send func(*eventstorev1.ReadAggregateResponse) error) error
	Aggregates(ctx context.Context, id string) ([]stores.Aggregate, error)
	Record(ctx context.Context, action, target, detail string) error
	Subscribe(ctx context.Context, req *eventstorev1.SubscribeRequest, send func(*eventstorev1.SubscribeResponse) error) error
}

var _ API = api.Inside{}

// Options configure a Console.
type Options struct {
	// About says which server this is.
	About About
	// Monitor counts what the server does.
	Monitor *monitor.Monitor
	// Settings are those that count now.
	Settings func() Settings
	// Verify checks the database, even while the server uses it.
	Verify func(ctx context.Context, progress func(phase string, done, total uint64)) (*verify.Report, error)
	// Ask asks the database a question in SQL. Where it is nil, AskOff says why.
	Ask    func(ctx context.Context, statement string) (*ask.Answer, error)
	AskOff string
	// Types are the message types that the configuration knows, and PayloadType is the name of that of a channel's messages, or "" if they
	// are not of one.
	Types       *proto.Decoder
	PayloadType func(channel string) string
	Log         *slog.Logger
}

// Settings are what the configuration says, without secrets.
type Settings struct {
	Given    map[string]string // values by name
	Channels []string          // lines about event channels and consumers
	Routes   []string          // a line about each route
}

// About names a server.
type About struct {
	ClusterID, ServerID, Version string
	Store                        string   // MEMORY, FILE or SQL
	Database                     string   // the driver
	Servers                      []string // URLs of the APIs of all servers
}

// Console serves the pages.
type Console struct {
	opts        Options
	api         API // set by Handler
	key         []byte
	sessions    *sessions
	history     *history
	verifier    *verifier
	servers     *servers
	origins     *http.CrossOriginProtection
	folding     chan struct{} // one slot: the state of an aggregate
	asking      chan struct{} // one slot: a question to the database
	downloading chan struct{} // as many slots as there may be downloads
	stopped     chan struct{} // closed when Run returns
}

// New returns a console. Run collects what its charts show.
func New(o Options) *Console {
	return &Console{opts: o, key: newKey(), sessions: newSessions(time.Now), history: newHistory(), verifier: newVerifier(o.Verify, o.Log), servers: newServers(o.About.Servers), origins: http.NewCrossOriginProtection(), folding: make(chan struct{}, 1), asking: make(chan struct{}, 1), downloading: make(chan struct{}, maxDownloads), stopped: make(chan struct{})}
}

// Run takes samples of the server for the charts, and verifies the database when asked to, until ctx ends. Then what pages show live ends, too. It is called once.
func (c *Console) Run(ctx context.Context) {
	defer close(c.stopped)
	var verifying sync.WaitGroup
	verifying.Go(func() { c.verifier.run(ctx) })
	c.history.run(ctx, c.opts.Monitor)
	verifying.Wait()
}

// Handler returns what serves the pages under api.ConsolePath. It is called once.
func (c *Console) Handler(a API) http.Handler {
	c.api = a
	mux := http.NewServeMux()
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // it is embedded
	}
	mux.Handle("GET /console/static/", http.StripPrefix("/console/static/", cached(http.FileServerFS(static))))
	mux.Handle("GET /console/login", c.page(c.loginPage, anybody))
	mux.Handle("POST /console/login", c.page(c.login, anybody))
	mux.Handle("POST /console/logout", c.page(c.logout, anybody))
	for pattern, serve := range map[string]func(*visit) error{
		"GET /console/{$}":               c.overview,
		"GET /console/live/overview":     c.overviewLive,
		"GET /console/events":            c.events,
		"GET /console/live/events":       c.eventsLive,
		"GET /console/events/{position}": c.event,
		"GET /console/live/download":     c.download,
		"GET /console/find":              c.find,
		"GET /console/aggregate":         c.aggregate,
		"GET /console/channels":          c.channels,
		"GET /console/consumers":         c.consumers,
		"GET /console/consumer":          c.consumer,
		"GET /console/clients":           c.clients,
		"GET /console/audit":             c.audit,
		"GET /console/act/{act}":         c.confirm,
		"POST /console/act/{act}":        c.act,
	} {
		mux.Handle(pattern, c.page(serve, known))
	}
	for pattern, serve := range map[string]func(*visit) error{
		"GET /console/routes":      c.routes,
		"GET /console/settings":    c.settings,
		"GET /console/damage":      c.damage,
		"GET /console/live/damage": c.damageLive,
		"POST /console/damage":     c.verify,
		"GET /console/sql":         c.sql,
		"POST /console/sql":        c.question,
	} {
		mux.Handle(pattern, c.page(serve, administrators))
	}
	mux.Handle("/console/", c.page(func(*visit) error { return errNoPage }, known))
	return c.guard(mux)
}

//go:embed static pages
var files embed.FS

// cached lets browsers keep a file for a while. A new version of the server has other files under the same names.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		next.ServeHTTP(w, r)
	})
}
