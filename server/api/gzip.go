package api

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
)

// compressedFrom is the size in bytes from which on an answer is compressed for a client that accepts it, as those of Go do unasked. For
// less, it costs more than a network saves: 16 readers of ten events each read a fifth more without.
const compressedFrom = 16 << 10

// bounded returns options that bound a request's message, also when it is decompressed.
func bounded(max int) []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithReadMaxBytes(max),
		connect.WithCompressMinBytes(compressedFrom),
		connect.WithCompression("gzip",
			func() connect.Decompressor { return &gunzip{max: int64(max)} },
			func() connect.Compressor { return fastGzip() }),
	}
}

// fastGzip returns a compressor that rather saves time than bytes.
func fastGzip() *gzip.Writer {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // which is a level
	return w
}

// gunzip decompresses up to a bound. Connect's own decompressor reads what is beyond it as well, to tell its size.
type gunzip struct {
	gzip.Reader
	max, left int64
}

var errTooLong = errors.New("the decompressed message is too long")

// Reset implements connect.Decompressor.
func (g *gunzip) Reset(r io.Reader) error {
	g.left = g.max + 1 // one more byte than allowed is an error of connect
	return g.Reader.Reset(r)
}

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (int, error) {
	if g.left <= 0 {
		return 0, errTooLong
	}
	n, err := g.Reader.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	return n, err
}
