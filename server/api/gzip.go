package api

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
)

// bounded returns options that bound a request's message, also when it is decompressed.
func bounded(max int) []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithReadMaxBytes(max),
		connect.WithCompression("gzip",
			func() connect.Decompressor { return &gunzip{max: int64(max)} },
			func() connect.Compressor { return gzip.NewWriter(io.Discard) }),
	}
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
