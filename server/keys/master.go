package keys

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// commandTimeout bounds a call of a key management service.
const commandTimeout = 10 * time.Second

// Master is where the master key is.
type Master struct {
	kind, rest string
}

// ParseMaster parses file:PATH, env:NAME or command:PROGRAM ARGUMENTS.
func ParseMaster(text string) (Master, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), ":")
	m := Master{kind, strings.TrimSpace(rest)}
	switch {
	case kind != "file" && kind != "env" && kind != "command":
		return m, errors.New("must be file:PATH, env:NAME or command:PROGRAM")
	case m.rest == "":
		return m, fmt.Errorf("%s: needs a value: file:PATH, env:NAME or command:PROGRAM", kind)
	}
	return m, nil
}

// String names the place, not the key.
func (m Master) String() string { return m.kind + ":" + m.rest }

// wrap encrypts the secret of a ring.
func (m Master) wrap(ctx context.Context, secret []byte) ([]byte, error) {
	if m.kind == "command" {
		return m.run(ctx, "wrap", base64.StdEncoding.AppendEncode(nil, secret))
	}
	all, err := m.keys()
	if err != nil {
		return nil, err
	}
	aead, err := cipher(all[0])
	if err != nil {
		return nil, err
	}
	return aead.Encrypt(secret, ringData())
}

// unwrap decrypts the secret of a ring.
func (m Master) unwrap(ctx context.Context, wrapped []byte) (secret []byte, err error) {
	if m.kind == "command" {
		text, err := m.run(ctx, "unwrap", wrapped)
		if err == nil {
			secret, err = base64.StdEncoding.AppendDecode(nil, text)
		}
		return secret, err
	}
	all, err := m.keys()
	if err != nil {
		return nil, err
	}
	for _, key := range all {
		aead, err := cipher(key)
		if err != nil {
			return nil, err
		}
		if secret, err = aead.Decrypt(wrapped, ringData()); err == nil {
			return secret, nil
		}
	}
	return nil, fmt.Errorf("%s is not the master key that the key table was made with", m)
}

// keys returns the master keys of a file or variable: base64, one a line. The first one wraps; the others only unwrap.
func (m Master) keys() ([][]byte, error) {
	var text string
	if m.kind == "env" {
		if text = os.Getenv(m.rest); text == "" {
			return nil, fmt.Errorf("%s: the environment has no such variable", m)
		}
	} else {
		content, err := os.ReadFile(m.rest)
		if err != nil {
			return nil, err
		}
		text = string(content)
	}
	var all [][]byte
	for _, line := range strings.Fields(text) {
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("%s: line %d is not a key of 32 bytes in base64: make one with openssl rand -base64 32", m, len(all)+1)
		}
		all = append(all, key)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is empty: make a key with openssl rand -base64 32", m)
	}
	return all, nil
}

// run runs the command with a verb, and a text on its standard input. It returns what the command prints.
func (m Master) run(ctx context.Context, verb string, input []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	words := append(strings.Fields(m.rest), verb)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		return nil, fmt.Errorf("%s %s: %w: %s", words[0], verb, err, line)
	}
	if answer := bytes.TrimSpace(out.Bytes()); len(answer) > 0 {
		return answer, nil
	}
	return nil, fmt.Errorf("%s %s printed nothing", words[0], verb)
}
