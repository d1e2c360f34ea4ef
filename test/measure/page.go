package measure

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// NotesHeading begins the part of a generated page that people write.
const NotesHeading = "\n## Notes\n"

// Notes returns the part of a page that is written by hand, "" if it has none.
func Notes(page []byte) string {
	_, notes, ok := strings.Cut(string(page), NotesHeading)
	if !ok {
		return ""
	}
	return NotesHeading + notes
}

// NotesOf returns the notes of a page in a file, which need not exist yet.
func NotesOf(file string) (string, error) {
	page, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return Notes(page), nil
}

// Links are those of a page to the files of its figures and its picture, "" if one of them is not written.
func Links(csv, svg, picture string) string {
	if csv == "" || svg == "" {
		return ""
	}
	return fmt.Sprintf("Each figure of each run: [%[1]s](%[1]s).\n\n![%[3]s](%[2]s)\n\n", filepath.Base(csv), filepath.Base(svg), picture)
}

// An Output is a file of a report. Without a name it is not written.
type Output struct {
	Name string
	Make func() ([]byte, error)
}

// WriteFiles writes the files of a report.
func WriteFiles(outputs ...Output) error {
	for _, o := range outputs {
		if o.Name == "" {
			continue
		}
		b, err := o.Make()
		if err == nil {
			err = os.WriteFile(o.Name, b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
