package databases

import (
	"os"
	"path/filepath"
)

// UseTLS restarts the server with a certificate and its key, files in PEM. It then also accepts connections with TLS.
func (s *Server) UseTLS(cert, key string) error {
	own := [2]string{filepath.Join(s.directory.path, "server.crt"), filepath.Join(s.directory.path, "server.key")}
	for i, file := range []string{cert, key} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(own[i], content, 0o600); err != nil {
			return err
		}
		if owner := s.directory.owner; owner != nil {
			if err := os.Chown(own[i], int(owner.UID), int(owner.GID)); err != nil {
				return err
			}
		}
	}
	if err := s.Shutdown(); err != nil {
		return err
	}
	s.more = s.engine.tls(own[0], own[1])
	return s.Restart()
}

func (postgres) tls(cert, key string) []string {
	return []string{"-c", "ssl=on", "-c", "ssl_cert_file=" + cert, "-c", "ssl_key_file=" + key}
}

func (mysql) tls(cert, key string) []string {
	return []string{"--ssl-cert=" + cert, "--ssl-key=" + key}
}
