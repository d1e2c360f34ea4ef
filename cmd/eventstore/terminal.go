package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// isTerminal reports whether a person is at the other end.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// width returns the width of the terminal that the output goes to, 0 if it goes elsewhere.
func (t *tool) width() int {
	if !isTerminal(t.out) {
		return 0
	}
	width, _, err := term.GetSize(int(t.out.(*os.File).Fd()))
	if err != nil {
		return 0
	}
	return width
}

// confirm asks whether to do something that cannot be undone, unless --yes was given. Without a terminal it refuses.
func (t *tool) confirm(format string, args ...any) error {
	if t.yes {
		return nil
	}
	what := escape(fmt.Sprintf(format, args...))
	if !isTerminal(t.in) || !isTerminal(t.err) {
		return refused("%s: give --yes if that is what you want", what)
	}
	fmt.Fprintf(t.err, "%s? [y/N] ", what)
	line, err := bufio.NewReader(t.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return refused("nothing was done")
}
