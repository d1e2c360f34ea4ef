package keys

import (
	"crypto/rand"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// keySize is that of all keys, in bytes.
const keySize = 32

func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return key
}

// cipher returns AES-256-GCM with random nonces, which are in front of the ciphertext.
func cipher(key []byte) (tink.AEAD, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("a key has %d bytes, not %d", len(key), keySize)
	}
	return subtle.NewAESGCM(key)
}

// Associated data of each layer. They never change.
func ringData() []byte { return []byte("eventstore ring v1") }

func subjectData(name string) []byte { return []byte("eventstore subject v1\x00" + name) }

func fieldData(channel, path, name string) []byte {
	return []byte("eventstore field v1\x00" + channel + "\x00" + path + "\x00" + name)
}
