package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/stores/ask"
)

// sqlBody is the page of questions to the database.
type sqlBody struct {
	Off       string // why nothing can be asked; "" if it can
	Questions []question
	Statement string
	Answer    *ask.Answer
	Wrong     string // why there is no answer
}

// sql shows the questions, one of them ready to be asked.
func (c *Console) sql(v *visit) error {
	body := c.sqlBody()
	if text := v.query.Get("question"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n >= len(body.Questions) {
			return errNoPage
		}
		body.Statement = body.Questions[n].SQL
	}
	return v.show("sql", "SQL", "sql", body)
}

func (c *Console) sqlBody() sqlBody {
	body := sqlBody{Questions: questionsFor(c.opts.About.Database)}
	if c.opts.Ask == nil {
		body.Off = c.opts.AskOff
	}
	return body
}

// question asks the database. Questions take turns: the database's work and the server's memory are for clients.
func (c *Console) question(v *visit) error {
	body := c.sqlBody()
	body.Statement = strings.TrimSpace(v.r.PostFormValue("statement"))
	if c.opts.Ask == nil {
		return v.show("sql", "SQL", "sql", body)
	}
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	default:
		return &pageError{http.StatusServiceUnavailable, "another question is being answered: try again in a few seconds"}
	}
	c.opts.Log.Info("The console asks the database", "by", cmp.Or(v.visitor.Name, "this machine"), "statement", body.Statement)
	answer, err := c.opts.Ask(v.ctx, body.Statement)
	switch {
	case err == nil:
		body.Answer = answer
	case errors.Is(err, context.Canceled) && v.ctx.Err() != nil:
		return err
	default:
		body.Wrong = err.Error()
	}
	return v.show("sql", "SQL", "sql", body)
}
