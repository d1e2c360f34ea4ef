package eventfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Compressions by name. The empty name is none.
const (
	Gzip = "gzip"
	Zstd = "zstd"
)

// frameBytes is how much text a compressed frame holds. A file is a sequence of frames, so that what a killed program leaves begins with
// whole ones.
const frameBytes = 1 << 20

// frameHeader is how many bytes at the beginning of a compressed frame are the same whatever it holds.
const frameHeader = 8

// A frame of zstd follows a skippable frame (RFC 8878, 3.1.2) with its length, by which its end is found without decoding.
const (
	zstdSkippable = 0x184D2A5E
	zstdHeader    = 12 // magic number, size of the content, content: length of the frame
)

// compress returns a text as a frame.
func compress(compression string, text []byte) ([]byte, error) {
	var out bytes.Buffer
	switch compression {
	case Gzip:
		w := gzip.NewWriter(&out)
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
		err := w.Close()
		return out.Bytes(), err
	case Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		frame := w.EncodeAll(text, nil)
		var header [zstdHeader]byte
		binary.LittleEndian.PutUint32(header[0:], zstdSkippable)
		binary.LittleEndian.PutUint32(header[4:], 4)
		binary.LittleEndian.PutUint32(header[8:], uint32(len(frame)))
		return append(header[:], frame...), nil
	}
	return text, nil
}

// detect returns the compression of a file by its first bytes.
func detect(in *bufio.Reader) string {
	first, _ := in.Peek(4) // a shorter file has none
	switch {
	case len(first) >= 2 && first[0] == 0x1f && first[1] == 0x8b:
		return Gzip
	case len(first) == 4 && (bytes.Equal(first, []byte{0x28, 0xb5, 0x2f, 0xfd}) || first[0]&0xf0 == 0x50 && bytes.Equal(first[1:], []byte{0x2a, 0x4d, 0x18})):
		return Zstd
	}
	return ""
}

// decompressed returns the text of a file, and its compression. The text of a torn file ends with an error.
func decompressed(from io.Reader) (text io.Reader, compression string, err error) {
	in := bufio.NewReaderSize(from, 256<<10)
	switch compression = detect(in); compression {
	case Gzip:
		text, err = gzip.NewReader(in)
	case Zstd:
		text, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	default:
		text = in
	}
	if err != nil {
		return nil, compression, cutOff(err)
	}
	return textReader{text}, compression, nil
}

func cutOff(err error) error { return fmt.Errorf("%w: the file is cut off or damaged", err) }

// textReader says what its errors mean.
type textReader struct{ io.Reader }

// Read implements io.Reader.
func (r textReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = cutOff(err)
	}
	return n, err
}

// errTorn means that the rest of a file is not a whole frame.
var errTorn = errors.New("the end of the file is torn")

// wholeFrames calls each with the text of the whole frames at the beginning of a file, and returns where they end. Without a compression,
// a frame is what ends with the end of a record.
func wholeFrames(from io.Reader, compression, end string, each func(text []byte) error) (whole int64, err error) {
	in := &counter{in: bufio.NewReaderSize(from, 256<<10)}
	for {
		if _, err := in.in.Peek(1); err != nil {
			return whole, nil
		}
		var text []byte
		switch compression {
		case Gzip:
			text, err = gzipFrame(in)
		case Zstd:
			text, err = zstdFrame(in)
		default:
			text, err = in.record(end)
		}
		if errors.Is(err, errTorn) {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		if err := each(text); err != nil {
			return whole, err
		}
		whole = in.n
	}
}

// counter counts the bytes that are read.
type counter struct {
	in *bufio.Reader
	n  int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte implements io.ByteReader, so that gzip reads no further than its frame.
func (c *counter) ReadByte() (byte, error) {
	b, err := c.in.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// record reads up to the end of a record.
func (c *counter) record(end string) (record []byte, err error) {
	for {
		line, err := c.in.ReadBytes('\n')
		c.n += int64(len(line))
		if err != nil {
			return nil, errTorn
		}
		if record = append(record, line...); bytes.HasSuffix(record, []byte(end)) {
			return record, nil
		}
	}
}

func gzipFrame(in *counter) ([]byte, error) {
	r, err := gzip.NewReader(in)
	if err != nil {
		return nil, errTorn
	}
	r.Multistream(false)
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, errTorn
	}
	return text, nil
}

func zstdFrame(in *counter) ([]byte, error) {
	var header [zstdHeader]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return nil, errTorn
	}
	if binary.LittleEndian.Uint32(header[0:]) != zstdSkippable || binary.LittleEndian.Uint32(header[4:]) != 4 {
		return nil, errors.New("it was not compressed by an export: name another file, or remove it")
	}
	frame := make([]byte, min(binary.LittleEndian.Uint32(header[8:]), 1<<30))
	if _, err := io.ReadFull(in, frame); err != nil {
		return nil, errTorn
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	text, err := d.DecodeAll(frame, nil)
	if err != nil {
		return nil, errTorn
	}
	return text, nil
}
