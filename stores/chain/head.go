package chain

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Head is the end of the chain at some time.
type Head struct {
	ClusterID string
	Position  uint64
	Hash      Hash
	Time      time.Time         // when the head was made
	Key       ed25519.PublicKey // nil if the head is not signed
	Signature []byte
}

// Sign signs the head.
func (h *Head) Sign(key ed25519.PrivateKey) {
	h.Key = key.Public().(ed25519.PublicKey)
	h.Signature = ed25519.Sign(key, h.signed())
}

// signed returns the bytes that the signature is of.
func (h *Head) signed() []byte {
	b := appendText([]byte{tagHead}, h.ClusterID)
	b = binary.BigEndian.AppendUint64(b, h.Position)
	b = append(b, h.Hash[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(h.Time.UnixNano()))
}

// Errors of Check.
var (
	ErrUnsigned  = errors.New("it is not signed")
	ErrOtherKey  = errors.New("it is signed with another key")
	ErrSignature = errors.New("its signature is wrong")
)

// Check returns an error unless the head is signed with a key. With a nil key, that of the head itself counts.
func (h *Head) Check(key ed25519.PublicKey) error {
	switch {
	case len(h.Signature) == 0:
		return ErrUnsigned
	case key != nil && !key.Equal(h.Key):
		return fmt.Errorf("%w: %s", ErrOtherKey, EncodeKey(h.Key))
	case len(h.Key) != ed25519.PublicKeySize || !ed25519.Verify(h.Key, h.signed(), h.Signature):
		return ErrSignature
	}
	return nil
}

// headJSON is a head as a line of a file.
type headJSON struct {
	ClusterID string `json:"cluster_id"`
	Position  uint64 `json:"position"`
	Hash      string `json:"hash"` // hexadecimal
	Time      string `json:"time"` // RFC 3339, in UTC
	Key       string `json:"public_key,omitempty"`
	Signature string `json:"signature,omitempty"` // base64
}

// MarshalJSON implements json.Marshaler.
func (h Head) MarshalJSON() ([]byte, error) {
	return json.Marshal(headJSON{
		h.ClusterID, h.Position, hex.EncodeToString(h.Hash[:]), h.Time.UTC().Format(time.RFC3339Nano), EncodeKey(h.Key), base64.StdEncoding.EncodeToString(h.Signature),
	})
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Head) UnmarshalJSON(text []byte) error {
	var j headJSON
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return err
	}
	*h = Head{ClusterID: j.ClusterID, Position: j.Position}
	hash, err := hex.DecodeString(j.Hash)
	if err != nil || len(hash) != len(h.Hash) {
		return fmt.Errorf("hash %q is not %d hexadecimal digits", j.Hash, 2*len(h.Hash))
	}
	copy(h.Hash[:], hash)
	if h.Time, err = time.Parse(time.RFC3339Nano, j.Time); err != nil {
		return fmt.Errorf("time: %w", err)
	}
	if j.Key == "" && j.Signature == "" {
		return nil
	}
	if h.Key, err = DecodeKey(j.Key); err != nil {
		return fmt.Errorf("public_key: %w", err)
	}
	if h.Signature, err = base64.StdEncoding.DecodeString(j.Signature); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

// ReadHeads reads heads, one on each line, as they are written to the file of heads.
func ReadHeads(from io.Reader) ([]Head, error) {
	var all []Head
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var h Head
		if err := json.Unmarshal(line, &h); err != nil {
			return nil, fmt.Errorf("line %d is not a head: %w", n, err)
		}
		all = append(all, h)
	}
	return all, lines.Err()
}
