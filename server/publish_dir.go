package server

import (
	"cmp"
	"errors"
	"fmt"
	"os"
)

// checkPublishDir fails if messages could not wait in files of the directory, which is otherwise first needed under load.
func checkPublishDir(dir string) error {
	file, err := os.CreateTemp(dir, "nats-streaming-server-start-")
	if err == nil {
		err = errors.Join(file.Close(), os.Remove(file.Name()))
	}
	if err != nil {
		return fmt.Errorf("directory for messages that wait, %s: %w: create it or let this user write it, or name another with -publish_dir", cmp.Or(dir, os.TempDir()), err)
	}
	return nil
}
