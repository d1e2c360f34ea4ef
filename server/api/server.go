package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/rs/cors"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb/pbconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/server/httpport"
)

const (
	// stopTimeout bounds how long Stop waits for requests.
	stopTimeout = 5 * time.Second
	// originsAge is how long browsers cache the allowed origins. They accept at most two hours.
	originsAge = 2 * time.Hour
	// smallMessage bounds the requests of health and reflection, decompressed.
	smallMessage = 4 << 10
)

// Server serves the API.
type Server struct {
	options Options
	port    *httpport.Port
	handle  http.Handler
	calls   *httpport.Peers
}

// Listen opens the port. log returns nil while this server is not active.
func Listen(o Options, log func() Log, observer Observer, logger *slog.Logger) (*Server, error) {
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	port, err := httpport.Listen(httpport.Options{
		Name: "The API", Host: o.Host, Port: o.Port, TLS: config, Limits: o.Limits, Refused: observer.Refused,
	}, logger)
	if err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	logger.Info(fmt.Sprintf("API listens on %s://%s", port.Scheme(), port.Addr()))
	s := &Server{options: o, port: port, calls: httpport.NewPeers(o.Limits)}
	s.handle = s.handler(log, observer.Request)
	return s, nil
}

// Observer learns what happens on the port.
type Observer struct {
	// Request receives the procedure and code of each finished request.
	Request func(procedure, code string)
	// Refused is called for each connection that is closed because there are too many.
	Refused func()
}

// SetLimits changes how many connections, and how many calls at a time, one peer and all peers may have.
func (s *Server) SetLimits(l httpport.Limits) {
	s.port.SetLimits(l)
	s.calls.SetLimits(l)
}

// Run serves until Stop.
func (s *Server) Run() error {
	if err := s.port.Serve(httpport.Deadlines(s.handle, isStream)); err != nil {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}

// Stop waits for running requests and cancels those that take too long.
func (s *Server) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.port.Stop(ctx)
}

func (s *Server) handler(log func() Log, observe func(procedure, code string)) http.Handler {
	svc := &service{log: log, defaultChannel: s.options.DefaultChannel, maxMessage: s.options.MaxMessage}
	options := append(codecs(),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			if spec.StreamType != connect.StreamTypeUnary {
				return bounded(min(streamRequest, s.options.MaxMessage))
			}
			return bounded(s.options.MaxMessage)
		}),
		connect.WithInterceptors(observer(observe)),
	)
	mux := http.NewServeMux()
	mux.Handle(eventstorev1connect.NewEventStoreHandler(svc, options...))
	mux.Handle(eventstoreconnect.NewEventStoreHandler(eventStore{svc}, options...))
	mux.Handle(pbconnect.NewEventStoreHandler(pbEventStore{svc}, options...))
	reflector := grpcreflect.NewStaticReflector(eventstorev1connect.EventStoreName, eventstoreconnect.EventStoreName,
		pbconnect.EventStoreName, grpchealth.HealthV1ServiceName)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, bounded(smallMessage)...))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, bounded(smallMessage)...))

	public := http.NewServeMux()
	public.Handle("/", s.requireToken(s.requireMemory(log, mux)))
	public.Handle(grpchealth.NewHandler(health{log}, bounded(smallMessage)...)) // public: it reveals nothing about events
	return s.countCalls(s.allowOrigins(public))
}

// allowOrigins answers CORS preflight requests, which carry no token.
func (s *Server) allowOrigins(next http.Handler) http.Handler {
	if len(s.options.Origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: s.options.Origins,
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: append(connectcors.AllowedHeaders(), "Authorization"),
		ExposedHeaders: connectcors.ExposedHeaders(),
		MaxAge:         int(originsAge.Seconds()),
	}).Handler(next)
}

// requireToken requires the token in each request.
func (s *Server) requireToken(next http.Handler) http.Handler {
	if s.options.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Token)) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		refuse(w, r, connect.NewError(connect.CodeUnauthenticated, errors.New("the request carries no valid token")), http.StatusUnauthorized)
	})
}

// health answers grpc.health.v1.Health.
type health struct{ log func() Log }

// Check implements grpchealth.Checker.
func (h health) Check(_ context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	switch req.Service {
	case "", eventstorev1connect.EventStoreName, eventstoreconnect.EventStoreName, pbconnect.EventStoreName:
	default:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("unknown service %q", req.Service))
	}
	if h.log() == nil {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}

// observer reports the procedure and code of each request.
type observer func(procedure, code string)

func (o observer) observe(procedure string, err error) {
	code := "ok"
	if err != nil {
		code = connect.CodeOf(err).String()
	}
	o(procedure, code)
}

// WrapUnary implements connect.Interceptor.
func (o observer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		o.observe(req.Spec().Procedure, err)
		return resp, err
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (o observer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (o observer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := next(ctx, conn)
		o.observe(conn.Spec().Procedure, err)
		return err
	}
}
