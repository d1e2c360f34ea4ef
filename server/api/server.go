package api

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
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
)

const (
	// headerTimeout bounds how long a client takes to send the header of a request.
	headerTimeout = 10 * time.Second
	// pingAfter is after how long a silent connection is asked whether it is there, and pingTimeout how long it has to
	// answer, or to take what is sent to it.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// maxStreams is how many requests, and subscriptions, one connection of HTTP/2 carries at a time, and streamBuffer what each may
	// send before it is read, in bytes. All together fit in the connection's window: requests that wait for memory must not hold up
	// those that got it.
	maxStreams   = 250
	streamBuffer = 64 << 10
	// stopTimeout is how long requests may take to end when the server stops.
	stopTimeout = 5 * time.Second
	// originsAge is how long browsers remember what pages may call: two hours, the most that they accept.
	originsAge = 2 * time.Hour
)

// Server serves the API.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
}

// Listen opens the port. log returns the log of events, nil while this server is not the active one; observe is told of each
// request and its code.
func Listen(o Options, log func() Log, observe func(procedure, code string), logger *slog.Logger) (*Server, error) {
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	port := max(o.Port, 0)
	listener, err := net.Listen("tcp", net.JoinHostPort(o.Host, fmt.Sprint(port)))
	if err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	scheme := "http"
	if config != nil {
		listener, scheme = tls.NewListener(listener, config), "https"
	}
	logger.Info(fmt.Sprintf("API listens on %s://%s", scheme, listener.Addr()))
	s := &Server{options: o, listener: listener}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(config == nil)
	s.http = &http.Server{
		Handler:           s.handler(log, observe),
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       2 * time.Minute,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: maxStreams * streamBuffer,
		},
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Run serves until Stop.
func (s *Server) Run() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}

// Stop lets requests end, and ends those that do not.
func (s *Server) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
}

func (s *Server) handler(log func() Log, observe func(procedure, code string)) http.Handler {
	svc := &service{log: log, defaultChannel: s.options.DefaultChannel, maxMessage: s.options.MaxMessage}
	options := append(codecs(),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			if streams[spec.Procedure] {
				return []connect.HandlerOption{connect.WithReadMaxBytes(min(streamRequest, s.options.MaxMessage))}
			}
			return []connect.HandlerOption{connect.WithReadMaxBytes(s.options.MaxMessage)}
		}),
		connect.WithInterceptors(observer(observe)),
	)
	mux := http.NewServeMux()
	mux.Handle(eventstorev1connect.NewEventStoreHandler(svc, options...))
	mux.Handle(eventstoreconnect.NewEventStoreHandler(eventStore{svc}, options...))
	mux.Handle(pbconnect.NewEventStoreHandler(pbEventStore{svc}, options...))
	reflector := grpcreflect.NewStaticReflector(eventstorev1connect.EventStoreName, eventstoreconnect.EventStoreName,
		pbconnect.EventStoreName, grpchealth.HealthV1ServiceName)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))

	open := http.NewServeMux()
	open.Handle("/", s.authorized(s.admitted(log, mux)))
	open.Handle(grpchealth.NewHandler(health{log})) // says nothing about events
	return s.shared(open)
}

// shared answers browsers that ask whether a page of another origin may call. They ask without a token.
func (s *Server) shared(next http.Handler) http.Handler {
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

// authorized lets requests through that carry the token.
func (s *Server) authorized(next http.Handler) http.Handler {
	if s.options.Token == "" {
		return next
	}
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Token)) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		err := connect.NewError(connect.CodeUnauthenticated, errors.New("the request carries no valid token"))
		if refuse.IsSupported(r) {
			_ = refuse.Write(w, r, err) // an error: the client has gone
			return
		}
		http.Error(w, err.Message(), http.StatusUnauthorized)
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

// observer tells each request and its code.
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
