package measure

import "strings"

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
