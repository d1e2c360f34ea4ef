package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// orderService accepts orders over HTTP and commits each to the event store before it responds.
//
//	POST /orders {"customer": "Ada", "dish": "soup", "cents": 900} → 201 {"id": "…"}
//
// A client that gets no response repeats the request with the same Idempotency-Key header: the order is placed once.
type orderService struct {
	orders *eventstore.Repository[Order]
}

// orderIDs is the UUID namespace in which an Idempotency-Key determines the order's ID.
var orderIDs = uuid.MustParse("6f1c2d3e-8a4b-4c5d-9e6f-7a8b9c0d1e2f")

func (s *orderService) run(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.place)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // makes Serve return
	defer stop()
	return server.Serve(listener)
}

func (s *orderService) place(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	var placed OrderPlaced
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&placed); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := uuid.New()
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		id = uuid.NewSHA1(orderIDs, []byte(key))
	}
	_, err := s.orders.Execute(ctx, id.String(), func(o Order, _ uint64) ([]any, error) {
		if o.Placed == placed {
			return nil, nil // a repeated request
		}
		return o.place(placed)
	})
	switch {
	case errors.Is(err, errExists):
		http.Error(w, err.Error(), http.StatusConflict)
		return
	case ctx.Err() != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable) // the order may be placed: the client must retry
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": id.String()}) // if it fails, the client retries
}
