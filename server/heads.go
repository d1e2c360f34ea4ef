package server

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// heads makes heads of the chain of hashes: whoever keeps one elsewhere can prove later that nothing before it has changed. One goroutine
// at a time uses it.
type heads struct {
	*term
	at uint64 // position of the last one
}

// run makes a head at each interval in which events were stored, until ctx ends.
func (h *heads) run(ctx context.Context) {
	last, err := h.store.LastHead(ctx)
	for err != nil && ctx.Err() == nil {
		h.failed(err)
		sleep(ctx, h.opts.StoreTimeout)
		last, err = h.store.LastHead(ctx)
	}
	if last != nil {
		h.at = last.Position
	}
	for sleep(ctx, h.opts.ChainInterval) {
		h.add(ctx)
	}
}

// add makes a head if the chain is longer than at the last one.
func (h *heads) add(ctx context.Context) {
	position, hash := h.store.ChainEnd()
	if position <= h.at {
		return
	}
	head := &chain.Head{ClusterID: h.opts.ClusterID, Position: position, Hash: hash, Time: time.Now()}
	if h.opts.ChainKey != nil {
		head.Sign(h.opts.ChainKey)
	}
	if err := h.save(ctx, head); err != nil {
		if ctx.Err() == nil {
			h.monitor.Metrics().Failed("head", err)
			h.log.Error("Failed to keep a head of the chain of hashes", "position", position, "error", err)
		}
		return
	}
	h.at = position
}

// save stores a head and tells the log and the file.
func (h *heads) save(ctx context.Context, head *chain.Head) error {
	bounded, cancel := context.WithTimeout(ctx, h.opts.StoreTimeout)
	defer cancel()
	err := h.store.SaveHead(bounded, head)
	if h.failed(err); err != nil {
		return err
	}
	h.log.Info("Head of the chain of hashes", "position", head.Position, "hash", hex.EncodeToString(head.Hash[:]),
		"time", head.Time.UTC().Format(time.RFC3339Nano), "public_key", chain.EncodeKey(head.Key), "signature", base64.StdEncoding.EncodeToString(head.Signature))
	if h.opts.ChainFile == "" {
		return nil
	}
	return appendHead(h.opts.ChainFile, head)
}

// appendHead adds a line to the file of heads.
func appendHead(name string, head *chain.Head) (err error) {
	line, err := json.Marshal(head)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("chain_file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("chain_file: %w", err)
	}
	return file.Sync()
}

// sleep waits, and reports false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Head implements api.Log.
func (l apiReads) Head(ctx context.Context) (*chain.Head, error) {
	if l.isDone() {
		return nil, api.ErrStandby
	}
	return l.store.LastHead(ctx)
}
