//go:build !linux

package docs

import "errors"

func enterNetwork() (int, error) { return -1, errors.New("only Linux has networks of a process") }
