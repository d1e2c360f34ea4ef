package settings

import (
	"crypto/ed25519"
	"fmt"
	"os"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// readChainKey reads the key that signs heads of the chain.
func readChainKey(file string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("chain_key: %w", err)
	}
	key, err := chain.DecodePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("chain_key: %s: %w", file, err)
	}
	return key, nil
}
