package raftlog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-streaming-server/spb"
)

// snapshot is the state of a node after an operation. The names are those of the file meta.json.
type snapshot struct {
	Index, Term   uint64
	Configuration configuration
	CRC           []byte

	state *spb.RaftSnapshot
}

// readSnapshot returns the newest snapshot, or nil if there is none.
func readSnapshot(dir string) (*snapshot, error) {
	root := filepath.Join(dir, "snapshots")
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var newest *snapshot
	at := ""
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), ".tmp") { // not finished
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, e.Name(), "meta.json"))
		if err != nil {
			return nil, err
		}
		s := &snapshot{}
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", e.Name(), err)
		}
		if newest == nil || s.Term > newest.Term || s.Term == newest.Term && s.Index > newest.Index {
			newest, at = s, e.Name()
		}
	}
	if newest == nil {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(root, at, "state.bin"))
	if err != nil {
		return nil, err
	}
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	_, _ = sum.Write(data)
	if !bytes.Equal(sum.Sum(nil), newest.CRC) {
		return nil, fmt.Errorf("snapshot %s is damaged: its checksum does not match", at)
	}
	newest.state = &spb.RaftSnapshot{}
	if len(data) == 0 {
		return newest, nil
	}
	if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) != uint64(len(data)-4) {
		return nil, fmt.Errorf("snapshot %s is not complete", at)
	}
	if err := newest.state.Unmarshal(data[4:]); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", at, err)
	}
	return newest, nil
}
