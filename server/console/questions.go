package console

import (
	_ "embed"
	"encoding/json"
	"slices"
)

// question is a statement of docs/reference/sql.md, ready to be asked.
type question struct {
	Title     string   `json:"title"`
	Databases []string `json:"databases,omitempty"` // drivers; all if there are none
	SQL       string   `json:"sql"`
}

//go:embed questions.json
var questionsFile []byte

var questions = func() (all []question) {
	if err := json.Unmarshal(questionsFile, &all); err != nil {
		panic(err) // it is embedded
	}
	return all
}()

// questionsFor are the questions for a database.
func questionsFor(driver string) (some []question) {
	for _, q := range questions {
		if len(q.Databases) == 0 || slices.Contains(q.Databases, driver) {
			some = append(some, q)
		}
	}
	return some
}
