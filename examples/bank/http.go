package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// patience bounds each request.
const patience = 10 * time.Second

// Handler returns the service's doors.
//
//	POST /accounts/{id}            {"owner": "Ada"}
//	POST /accounts/{id}/deposits   {"cents": 500}
//	POST /accounts/{id}/transfers  {"to": "b", "cents": 500, "text": "rent"}
//	GET  /accounts/{id}            and GET /accounts/{id}/statement
//
// A POST needs the header Idempotency-Key. Its answer has a position: GET …?after=POSITION sees what the POST did.
func Handler(bank *Bank, views *Views) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /accounts/{id}", command(func(ctx context.Context, key, id string, in struct{ Owner string }) (uint64, error) {
		return bank.Open(ctx, key, id, in.Owner)
	}))
	mux.Handle("POST /accounts/{id}/deposits", command(func(ctx context.Context, key, id string, in struct{ Cents int64 }) (uint64, error) {
		return bank.Deposit(ctx, key, id, in.Cents)
	}))
	mux.Handle("POST /accounts/{id}/transfers", command(func(ctx context.Context, key, id string, in struct {
		To, Text string
		Cents    int64
	}) (uint64, error) {
		return bank.Transfer(ctx, key, id, in.To, in.Text, in.Cents)
	}))
	mux.Handle("GET /accounts/{id}", question(views.Balance))
	mux.Handle("GET /accounts/{id}/statement", question(views.Statement))
	return mux
}

func command[I any](execute func(ctx context.Context, key, id string, in I) (uint64, error)) http.Handler {
	return answered(func(ctx context.Context, r *http.Request) (any, error) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" {
			return nil, badRequest{errors.New("the header Idempotency-Key is missing: choose a new key for each command, and keep it when you repeat one")}
		}
		var in I
		body := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16))
		body.DisallowUnknownFields()
		if err := body.Decode(&in); err != nil {
			return nil, badRequest{err}
		}
		position, err := execute(ctx, key, r.PathValue("id"), in)
		return map[string]uint64{"position": position}, err
	})
}

func question[O any](ask func(ctx context.Context, id string, after uint64) (O, error)) http.Handler {
	return answered(func(ctx context.Context, r *http.Request) (any, error) {
		var after uint64
		if text := r.URL.Query().Get("after"); text != "" {
			var err error
			if after, err = strconv.ParseUint(text, 10, 64); err != nil {
				return nil, badRequest{fmt.Errorf("after: %w", err)}
			}
		}
		return ask(ctx, r.PathValue("id"), after)
	})
}

type badRequest struct{ error }

func answered(handle func(context.Context, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		answer, err := handle(ctx, r)
		status := http.StatusOK
		if err != nil {
			status, answer = statusOf(err), map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // the client may have gone
	})
}

// statusOf says whose fault an error is, and whether to repeat the request.
func statusOf(err error) int {
	switch {
	case errors.As(err, new(badRequest)):
		return http.StatusBadRequest
	case errors.Is(err, ErrNoAccount), errors.Is(err, sql.ErrNoRows):
		return http.StatusNotFound
	case errors.Is(err, eventstore.ErrDuplicate): // the key belongs to another command
		return http.StatusUnprocessableEntity
	case errors.As(err, new(Refusal)):
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable // repeat it with the same key
}
