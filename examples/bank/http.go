package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// patience bounds each request.
const patience = 10 * time.Second

// request is the body of a command, which uses some of it.
type request struct {
	Owner, To, Text string
	Cents           int64
}

// Handler serves the bank.
//
//	POST /accounts/{id}            {"owner": "Ada"}
//	POST /accounts/{id}/deposits   {"cents": 500}
//	POST /accounts/{id}/transfers  {"to": "b", "cents": 500, "text": "rent"}
//	GET  /accounts/{id}
//	GET  /accounts/{id}/statement
//
// A POST needs the header Idempotency-Key. Its answer has a position: GET …?after=POSITION sees what the POST did.
func Handler(bank *Bank, views *Views) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /accounts/{id}", post(func(ctx context.Context, key, id string, r request) (uint64, error) {
		return bank.Execute(ctx, key, id, open(r.Owner), r)
	}))
	mux.Handle("POST /accounts/{id}/deposits", post(func(ctx context.Context, key, id string, r request) (uint64, error) {
		return bank.Execute(ctx, key, id, deposit(r.Cents), r)
	}))
	mux.Handle("POST /accounts/{id}/transfers", post(func(ctx context.Context, key, id string, r request) (uint64, error) {
		return bank.Transfer(ctx, key, id, r.To, r.Text, r.Cents)
	}))
	mux.Handle("GET /accounts/{id}", get(views.Balance))
	mux.Handle("GET /accounts/{id}/statement", get(views.Statement))
	return mux
}

// errRequest means that the client must change its request.
var errRequest = errors.New("bad request")

func post(execute func(ctx context.Context, key, id string, r request) (uint64, error)) http.Handler {
	return answer(func(ctx context.Context, r *http.Request) (any, error) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" {
			return nil, errors.Join(errRequest, errors.New("add the header Idempotency-Key, with a new key for each command"))
		}
		var in request
		body := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16))
		body.DisallowUnknownFields()
		if err := body.Decode(&in); err != nil {
			return nil, errors.Join(errRequest, err)
		}
		position, err := execute(ctx, key, r.PathValue("id"), in)
		return map[string]uint64{"position": position}, err
	})
}

func get[A any](ask func(ctx context.Context, id string, after uint64) (A, error)) http.Handler {
	return answer(func(ctx context.Context, r *http.Request) (any, error) {
		after, err := strconv.ParseUint("0"+r.URL.Query().Get("after"), 10, 64)
		if err != nil {
			return nil, errors.Join(errRequest, err)
		}
		return ask(ctx, r.PathValue("id"), after)
	})
}

func answer(handle func(context.Context, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		content, err := handle(ctx, r)
		status := http.StatusOK
		if err != nil {
			status, content = statusOf(err), map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(content) // the client may have gone
	})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errRequest):
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
