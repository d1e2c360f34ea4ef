package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/rs/cors"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb/pbconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/umadb/umadbconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/httpport"
)

const (
	// stopTimeout is the default of Options.StopTimeout.
	stopTimeout = 5 * time.Second
	// originsAge is how long browsers cache the allowed origins. They accept at most two hours.
	originsAge = 2 * time.Hour
	// smallMessage bounds the requests of health and reflection, decompressed.
	smallMessage = 4 << 10
)

// Server serves the API.
type Server struct {
	log      func() Log
	observer Observer
	port     *httpport.Port
	calls    *httpport.Peers
	arriving arriving
	outbox   outbox
	stop     time.Duration // Options.StopTimeout
	console  http.Handler  // nil without one
	settings atomic.Pointer[settings]
}

// Listen opens the port. policy is nil without an access file. log returns nil while this server serves nobody, and a Follower while it
// serves reads only.
func Listen(o Options, policy *access.Policy, log func() Log, observer Observer, logger *slog.Logger) (*Server, error) {
	s := &Server{
		log: log, observer: observer, calls: httpport.NewPeers(o.Limits),
		arriving: arriving{peers: make(map[netip.Prefix]*share)}, outbox: outbox{bound: outboxBytes, stall: stallTime},
		stop: cmp.Or(o.StopTimeout, stopTimeout),
	}
	if o.Console != nil {
		s.console = o.Console(Inside{s, &service{log: log, defaultChannel: o.DefaultChannel, maxMessage: o.MaxMessage}})
	}
	first, err := s.newSettings(o, policy)
	if err != nil {
		return nil, err
	}
	s.settings.Store(first)
	var config *tls.Config
	if first.tls != nil {
		config = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.settings.Load().tls, nil },
		}
	}
	s.port, err = httpport.Listen(httpport.Options{
		Name: "The API", Host: o.Host, Port: o.Port, TLS: config, Limits: o.Limits, Refused: observer.ConnectionRefused("api"),
	}, logger)
	if err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	logger.Info(fmt.Sprintf("API listens on %s://%s", s.port.Scheme(), s.port.Addr()))
	return s, nil
}

// Run serves until Stop.
func (s *Server) Run() error {
	current := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.settings.Load().handler.ServeHTTP(w, r) })
	if err := s.port.Serve(httpport.Deadlines(current, isStream)); err != nil {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}

// Addr returns where the API listens.
func (s *Server) Addr() net.Addr { return s.port.Addr() }

// Encryption returns the current TLS configuration, or nil if TLS is off.
func (s *Server) Encryption() *tls.Config { return s.settings.Load().tls }

// Stop waits for running requests and cancels those that take too long.
func (s *Server) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), s.stop)
	defer cancel()
	s.port.Stop(ctx)
}

func (s *Server) handler(o Options) http.Handler {
	svc := &service{log: s.log, defaultChannel: o.DefaultChannel, maxMessage: o.MaxMessage}
	options := append(codecs(),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			if spec.StreamType != connect.StreamTypeUnary {
				return bounded(min(streamRequest, o.MaxMessage))
			}
			return bounded(o.MaxMessage)
		}),
		connect.WithInterceptors(witness{}),
	)
	mux := http.NewServeMux()
	mux.Handle(eventstorev1connect.NewEventStoreHandler(svc, options...))
	mux.Handle(eventstorev1connect.NewAdminHandler(admin{svc}, options...))
	mux.Handle(eventstoreconnect.NewEventStoreHandler(eventStore{svc}, options...))
	mux.Handle(pbconnect.NewEventStoreHandler(pbEventStore{svc}, options...))
	services := []string{eventstorev1connect.EventStoreName, eventstorev1connect.AdminName, eventstoreconnect.EventStoreName, pbconnect.EventStoreName, grpchealth.HealthV1ServiceName}
	if o.DCB {
		mux.Handle(umadbconnect.NewDCBHandler(dcb{svc}, options...))
		services = append(services, umadbconnect.DCBName)
	}
	reflector := grpcreflect.NewStaticReflector(services...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, bounded(smallMessage)...))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, bounded(smallMessage)...))

	public := http.NewServeMux()
	public.Handle("/", s.requireCaller(s.requireMemory(o.MaxMessage, requireType(readable(mux)))))
	public.Handle(grpchealth.NewHandler(health{s.log, o.DCB}, bounded(smallMessage)...)) // public: it reveals nothing about events
	doors := http.NewServeMux()
	doors.Handle("/", allowOrigins(o.Origins, public))
	if s.console != nil {
		doors.Handle(ConsolePath, s.console) // its pages are for nobody else's
	}
	handler := observed(s.observer, s.countCalls(s.outbox.watch(doors)))
	if o.Wrap != nil {
		return o.Wrap(handler)
	}
	return handler
}

// allowOrigins answers CORS preflight requests, which carry no token.
func allowOrigins(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: append(connectcors.AllowedHeaders(), "Authorization", "traceparent", "tracestate", maxStalenessHeader, minPositionHeader),
		ExposedHeaders: append(connectcors.ExposedHeaders(), stalenessHeader),
		MaxAge:         int(originsAge.Seconds()),
	}).Handler(next)
}

// readsService is the service of health checks that a standby has, too, while it serves reads.
const readsService = "reads"

// health answers grpc.health.v1.Health.
type health struct {
	log func() Log
	dcb bool // umadb.v1.DCB is served
}

// Check implements grpchealth.Checker.
func (h health) Check(_ context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	switch req.Service {
	case "", readsService, eventstorev1connect.EventStoreName, eventstorev1connect.AdminName, eventstoreconnect.EventStoreName, pbconnect.EventStoreName:
	case umadbconnect.DCBName:
		if !h.dcb {
			return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("service %q is off: start the server with -grpc_dcb", req.Service))
		}
	default:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("unknown service %q", req.Service))
	}
	log := h.log()
	if _, follows := log.(Follower); log == nil || follows && req.Service != readsService {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
