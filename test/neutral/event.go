package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

const (
	eventType       = "Happened"
	leastEventBytes = 64
)

// newEvent makes an event of a size in bytes: JSON with a number, and a text that no store can compress away.
func newEvent(r *rand.Rand, number int64, size int) []byte {
	b := make([]byte, 0, size)
	b = fmt.Appendf(b, `{"n":%d,"text":"`, number)
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	for len(b) < size-2 {
		for bits, i := r.Uint64(), 0; i < 10 && len(b) < size-2; bits, i = bits>>6, i+1 {
			b = append(b, letters[bits&63])
		}
	}
	return append(b, `"}`...)
}

// numberOf is the number of an event, as its store returns it: PostgreSQL writes JSON anew.
func numberOf(event []byte) (int64, error) {
	var e struct {
		N    *int64 `json:"n"`
		Text string `json:"text"`
	}
	if err := json.NewDecoder(bytes.NewReader(event)).Decode(&e); err != nil {
		return 0, fmt.Errorf("event %.60q: %w", event, err)
	}
	if e.N == nil || e.Text == "" {
		return 0, fmt.Errorf("event %.60q has no number or no text", event)
	}
	return *e.N, nil
}
