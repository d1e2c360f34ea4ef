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

// spoolSegment is the size, in bytes, at which a file of a spool is full. A file goes when all of its messages were read.
const spoolSegment = 64 << 20

// spool keeps NATS messages in files. They last no longer than the process, which has acknowledged none of them, and are not
// synced. It is not synchronised.
type spool struct {
	dir     string   // "": the system's directory for temporary files
	current *segment // the one to write to; nil: none is open
	open    map[*segment]struct{}
	count   int // of messages
}

// segment is one file: messages, each after the time of its arrival and the lengths of its subject, reply subject and data.
type segment struct {
	file  *os.File
	write int64 // offset
	left  int   // messages that were not read
}

// place is where a message is in a spool.
type place struct {
	segment *segment
	offset  int64
}

const spoolHeader = 8 + 3*4

// put adds a message. After an error it is not in the spool, and the spool is as it was.
func (s *spool) put(in received) (place, error) {
	if s.current == nil || s.current.write >= spoolSegment {
		file, err := os.CreateTemp(s.dir, "nats-streaming-server-publishes-")
		if err != nil {
			return place{}, fmt.Errorf("spool: %w", err)
		}
		_ = os.Remove(file.Name()) // it is gone with the process; where an open file has to keep its name, close removes it
		s.current = &segment{file: file}
		if s.open == nil {
			s.open = make(map[*segment]struct{})
		}
		s.open[s.current] = struct{}{}
	}
	last, m := s.current, in.msg
	buf := make([]byte, 0, spoolHeader+len(m.Subject)+len(m.Reply)+len(m.Data))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(in.at.UnixNano()))
	for _, n := range []int{len(m.Subject), len(m.Reply), len(m.Data)} {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(n))
	}
	buf = append(append(append(buf, m.Subject...), m.Reply...), m.Data...)
	if _, err := last.file.WriteAt(buf, last.write); err != nil {
		return place{}, fmt.Errorf("spool: %w", err)
	}
	at := place{last, last.write}
	last.write += int64(len(buf))
	last.left++
	s.count++
	return at, nil
}

// take removes the message of a place.
func (s *spool) take(at place) (received, error) {
	g := at.segment
	in, err := g.read(at.offset)
	if err != nil {
		return received{}, fmt.Errorf("spool: %w", err)
	}
	s.count--
	if g.left--; g.left == 0 {
		s.close(g)
	}
	return in, nil
}

func (g *segment) read(offset int64) (received, error) {
	var header [spoolHeader]byte
	if _, err := g.file.ReadAt(header[:], offset); err != nil {
		return received{}, err
	}
	at := time.Unix(0, int64(binary.LittleEndian.Uint64(header[0:])))
	subject := int(binary.LittleEndian.Uint32(header[8:]))
	reply := int(binary.LittleEndian.Uint32(header[12:]))
	data := int(binary.LittleEndian.Uint32(header[16:]))
	buf := make([]byte, subject+reply+data)
	if _, err := g.file.ReadAt(buf, offset+spoolHeader); err != nil && !errors.Is(err, io.EOF) {
		return received{}, err
	}
	m := &nats.Msg{Subject: string(buf[:subject]), Reply: string(buf[subject : subject+reply]), Data: buf[subject+reply:]}
	return received{m, at}, nil
}

func (s *spool) close(g *segment) {
	if s.current == g {
		s.current = nil
	}
	delete(s.open, g)
	_ = g.file.Close()
	_ = os.Remove(g.file.Name())
}

// clear removes all messages.
func (s *spool) clear() {
	for g := range s.open {
		s.close(g)
	}
	s.count = 0
}
