package chain

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// The hashes of known events never change: they are in databases, and others have kept them.
func TestFormat(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	salt := Salt{1, 2, 3}
	digest := h.Digest(&salt, []byte("content"))
	e := Event{Position: 1, Channel: "eventstore.a", Sequence: 2, Timestamp: 3, EventID: "id", Type: "Paid", AggregateType: "Order", AggregateID: "o1", Version: 4, Appender: 5}
	first := h.Next(&Hash{}, &e, &digest)
	for name, it := range map[string][2]string{
		"digest": {hex.EncodeToString(digest[:]), "6ba7a07ee025036995f5329d5f31c2c66603ce03cf9705623652227232fdc837"},
		"hash":   {hex.EncodeToString(first[:]), "40a4fb14655fbbf08430ef675aa39173c267b420b7e61e74f464c22562c7eb05"},
	} {
		if it[0] != it[1] {
			t.Errorf("%s %s, want %s", name, it[0], it[1])
		}
	}
}

// The writer hashes each event: without garbage.
func TestAllocations(t *testing.T) { // AllocsPerRun allows no parallel tests
	h := NewHasher()
	salt, last, content := Salt{1}, Hash{}, []byte("content")
	e := Event{Position: 1, Channel: "eventstore.a", EventID: "id", Type: "Paid", AggregateID: "o1"}
	if allocated := testing.AllocsPerRun(100, func() {
		digest := h.Digest(&salt, content)
		last = h.Next(&last, &e, &digest)
	}); allocated > 0 {
		t.Errorf("%v allocations for an event", allocated)
	}
}

// Whatever is changed in an event changes its hash.
func TestEachField(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	seen := map[Hash]int{}
	for i, e := range []Event{
		{}, {Position: 1}, {Channel: "a"}, {Sequence: 1}, {Timestamp: 1}, {EventID: "a"}, {Type: "a"}, {AggregateType: "a"}, {AggregateID: "a"}, {Version: 1}, {Appender: 1},
	} {
		hash := h.Next(&Hash{}, &e, &Hash{})
		if other, twice := seen[hash]; twice {
			t.Errorf("events %d and %d have the same hash", other, i)
		}
		seen[hash] = i
	}
	if h.Next(&Hash{1}, &Event{}, &Hash{}) == h.Next(&Hash{}, &Event{}, &Hash{1}) || h.Digest(&Salt{1}, nil) == h.Digest(&Salt{}, nil) {
		t.Error("a hash before, a digest or a salt does not count")
	}
}

func TestHeads(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := Head{ClusterID: "c", Position: 7, Hash: Hash{9}, Time: time.Unix(1, 5)}
	unsigned := signed
	signed.Sign(private)
	var file bytes.Buffer
	for _, h := range []Head{signed, unsigned} {
		line, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(append(line, '\n'))
	}
	read, err := ReadHeads(&file)
	if err != nil || len(read) != 2 {
		t.Fatal(read, err)
	}
	if err := errors.Join(read[0].Check(nil), read[0].Check(public)); err != nil {
		t.Error(err)
	}
	if err := read[1].Check(nil); !errors.Is(err, ErrUnsigned) {
		t.Errorf("error %v", err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := read[0].Check(other); !errors.Is(err, ErrOtherKey) {
		t.Errorf("error %v", err)
	}
	for name, change := range map[string]func(*Head){
		"cluster": func(h *Head) { h.ClusterID = "d" }, "position": func(h *Head) { h.Position++ }, "hash": func(h *Head) { h.Hash[1]++ },
		"time": func(h *Head) { h.Time = h.Time.Add(1) }, "signature": func(h *Head) { h.Signature = append([]byte{}, h.Signature[1:]...) },
	} {
		h := read[0]
		if change(&h); !errors.Is(h.Check(public), ErrSignature) {
			t.Errorf("a changed %s is not noticed", name)
		}
	}
	for _, line := range []string{"{", `{"position":1,"hash":"00","time":"2026-01-01T00:00:00Z"}`, `{"positon":1}`} {
		if _, err := ReadHeads(strings.NewReader(line)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: error %v", line, err)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := EncodePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := DecodePrivateKey(text); err != nil || !read.Equal(private) {
		t.Error(err)
	}
	if read, err := DecodeKey(EncodeKey(public)); err != nil || !read.Equal(public) {
		t.Error(err)
	}
	for _, wrong := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := DecodePrivateKey([]byte(wrong)); err == nil {
			t.Errorf("%q is a key", wrong)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	h := NewHasher()
	salt, last, data := Salt{1}, Hash{}, make([]byte, 600)
	e := Event{Position: 1, Channel: "eventstore.orders", EventID: "0123456789abcdef0123456789abcdef", Type: "OrderCreated", AggregateType: "Order", AggregateID: "order-4711", Version: 1}
	b.ReportAllocs()
	for b.Loop() {
		digest := h.Digest(&salt, data)
		last = h.Next(&last, &e, &digest)
	}
}
