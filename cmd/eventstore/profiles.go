package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// profiles are the contexts of a user: a JSON file that only that user may read.
type profiles struct {
	Current  string            `json:"current,omitempty"`
	Contexts map[string]target `json:"contexts"`
}

// profilesFile is the file below the user's configuration directory, $XDG_CONFIG_HOME or ~/.config on Linux.
func profilesFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "eventstore", "contexts.json"), nil
}

// readProfiles returns the contexts; none if there is no file, or no home to have one in.
func readProfiles() (profiles, error) {
	p := profiles{Contexts: make(map[string]target)}
	file, err := profilesFile()
	if err != nil {
		return p, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("contexts: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("contexts: %s: %w: mend the file, or remove it and add the contexts again", file, err)
	}
	if p.Contexts == nil {
		p.Contexts = make(map[string]target)
	}
	return p, nil
}

// write replaces the file, or leaves it as it was.
func (p profiles) write() error {
	file, err := profilesFile()
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	temporary, err := os.CreateTemp(dir, "contexts-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	_, err = temporary.Write(append(text, '\n'))
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("contexts: %w", err), os.Remove(temporary.Name()))
	}
	return nil
}
