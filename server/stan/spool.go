package stan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// spoolSegment is the size, in bytes, at which a file of a spool is full. A file goes when all of it was read.
const spoolSegment = 64 << 20

// spool is a queue of NATS messages in files. They last no longer than the process, which has acknowledged none of
// them, and are not synced. It is not synchronised.
type spool struct {
	dir      string // "": the system's directory for temporary files
	segments []*segment
	count    int // of messages
}

// segment is one file: messages, each after the time of its arrival and the lengths of its subject, reply subject and data.
type segment struct {
	file        *os.File
	read, write int64 // offsets
}

const spoolHeader = 8 + 3*4

// put appends a message. After an error it is not in the queue, and the queue is as it was.
func (s *spool) put(in received) error {
	if n := len(s.segments); n == 0 || s.segments[n-1].write >= spoolSegment {
		file, err := os.CreateTemp(s.dir, "nats-streaming-server-publishes-")
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		_ = os.Remove(file.Name()) // it is gone with the process; where an open file has to keep its name, close removes it
		s.segments = append(s.segments, &segment{file: file})
	}
	last, m := s.segments[len(s.segments)-1], in.msg
	buf := make([]byte, 0, spoolHeader+len(m.Subject)+len(m.Reply)+len(m.Data))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(in.at.UnixNano()))
	for _, n := range []int{len(m.Subject), len(m.Reply), len(m.Data)} {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(n))
	}
	buf = append(append(append(buf, m.Subject...), m.Reply...), m.Data...)
	if _, err := last.file.WriteAt(buf, last.write); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	last.write += int64(len(buf))
	s.count++
	return nil
}

// take removes the oldest message, of which there is one. After an error all messages of its file are lost.
func (s *spool) take() (received, error) {
	first := s.segments[0]
	in, n, err := first.next()
	if err != nil {
		return received{}, fmt.Errorf("spool: %w", err)
	}
	first.read += n
	s.count--
	if first.read == first.write {
		s.segments = s.segments[1:]
		first.close()
	}
	return in, nil
}

func (g *segment) next() (received, int64, error) {
	var header [spoolHeader]byte
	if _, err := g.file.ReadAt(header[:], g.read); err != nil {
		return received{}, 0, err
	}
	at := time.Unix(0, int64(binary.LittleEndian.Uint64(header[0:])))
	subject := int(binary.LittleEndian.Uint32(header[8:]))
	reply := int(binary.LittleEndian.Uint32(header[12:]))
	data := int(binary.LittleEndian.Uint32(header[16:]))
	buf := make([]byte, subject+reply+data)
	if _, err := g.file.ReadAt(buf, g.read+spoolHeader); err != nil && !errors.Is(err, io.EOF) {
		return received{}, 0, err
	}
	m := &nats.Msg{Subject: string(buf[:subject]), Reply: string(buf[subject : subject+reply]), Data: buf[subject+reply:]}
	return received{m, at}, int64(spoolHeader + len(buf)), nil
}

func (g *segment) close() {
	_ = g.file.Close()
	_ = os.Remove(g.file.Name())
}

// clear removes all messages.
func (s *spool) clear() {
	for _, g := range s.segments {
		g.close()
	}
	s.segments, s.count = nil, 0
}
