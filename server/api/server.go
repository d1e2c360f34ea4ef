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
	// headerTimeout bounds the time for a client to send a request header.
	headerTimeout = 10 * time.Second
	// pingAfter is how long a connection may be silent before it is pinged; pingTimeout bounds the reply, and each
	// write.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// maxStreams bounds the requests and subscriptions of an HTTP/2 connection; streamBuffer bounds the unread bytes of each.
	// All buffers together fit into the connection's window, so that requests waiting for memory do not block those that have
	// it.
	maxStreams   = 250
	streamBuffer = 64 << 10
	// stopTimeout bounds how long Stop waits for requests.
	stopTimeout = 5 * time.Second
	// originsAge is how long browsers cache the allowed origins. They accept at most two hours.
	originsAge = 2 * time.Hour
)

// Server serves the API.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
}

// Listen opens the port. log returns nil while this server is not active. observe receives the procedure and code of
// each request.
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

// Stop waits for running requests and cancels those that take too long.
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

	public := http.NewServeMux()
	public.Handle("/", s.requireToken(s.requireMemory(log, mux)))
	public.Handle(grpchealth.NewHandler(health{log})) // public: it reveals nothing about events
	return s.allowOrigins(public)
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
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Token)) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		err := connect.NewError(connect.CodeUnauthenticated, errors.New("the request carries no valid token"))
		if refuse.IsSupported(r) {
			_ = refuse.Write(w, r, err) // an error means that the client has gone
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
