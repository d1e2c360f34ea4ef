package bank

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client moves money. It repeats a request with its key until it knows what came of it.
type client struct {
	bank   string
	name   string
	random *rand.Rand

	stored, refused []string // the keys of its transfers, by their answers
}

// run sends transfers until stop is closed.
func (c *client) run(t *testing.T, answered chan<- struct{}, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		from := c.random.IntN(accounts)
		to := (from + 1 + c.random.IntN(accounts-1)) % accounts
		cents := 1 + c.random.IntN(500)
		switch n := c.random.IntN(400); {
		case n == 0:
			cents = 1_000_00 // large: three of them freeze the account
		case n < 20:
			cents = 100 * deposit // more than there is
		}
		key := fmt.Sprintf("%s-%d", c.name, n)
		switch status := c.call(t, "/accounts/"+account(from)+"/transfers", key, fmt.Sprintf(`{"to": %q, "cents": %d, "text": %q}`, account(to), cents, key)); status {
		case http.StatusOK:
			c.stored = append(c.stored, key)
		case http.StatusConflict:
			c.refused = append(c.refused, key)
		default:
			t.Errorf("transfer %s was answered with %d", key, status)
			return
		}
		answered <- struct{}{}
	}
}

// call sends a command until it is answered by something else than an outage.
func (c *client) call(t *testing.T, path, key, body string) int {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // between attempts, as a client does
		status, text, err := c.try(path, key, body)
		if err == nil && status != http.StatusServiceUnavailable {
			return status
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: %d %s, %v", key, status, text, err)
			return 0
		}
	}
}

func (c *client) try(path, key, body string) (status int, text string, err error) {
	request, err := http.NewRequest(http.MethodPost, c.bank+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Idempotency-Key", key)
	response, err := httpClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}
