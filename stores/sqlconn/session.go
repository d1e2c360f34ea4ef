package sqlconn

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// session is a connector that runs statements on each new connection before anything else uses it. Its driver dials
// with dialLine.
type session struct {
	driver.Connector
	setup []string
	try   []string // statements that a server may not know, and then does not need
}

func (s *session) Connect(ctx context.Context) (driver.Conn, error) {
	var to dialled
	inner, err := s.Connector.Connect(context.WithValue(ctx, dialledKey{}, &to))
	if err != nil {
		return nil, err
	}
	conn := &boundedConn{inner, to.line}
	for _, text := range s.setup {
		if err := run(ctx, conn, text); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("session setting %q: %w", text, err)
		}
	}
	for _, text := range s.try {
		if err := run(ctx, conn, text); err != nil && Lost(err) {
			_ = conn.Close()
			return nil, fmt.Errorf("session setting %q: %w", text, err)
		}
	}
	return conn, nil
}

// run executes a text without parameters on a bare connection.
func run(ctx context.Context, conn driver.ExecerContext, text string) error {
	_, err := conn.ExecContext(ctx, text, nil)
	return err
}
