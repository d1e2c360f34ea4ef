package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// oldState is what monitoring tells of a NATS Streaming.
type oldState struct {
	Cluster string `json:"cluster_id"`
	Server  string `json:"server_id"`
	State   string `json:"state"`
	Role    string `json:"role"`    // of a node of a Raft cluster
	Node    string `json:"node_id"` // likewise

	channels []oldChannel
}

// leads reports whether the server knows all messages that were acknowledged.
func (s *oldState) leads() bool { return s.Role == "" || s.Role == "Leader" }

type oldChannel struct {
	Name  string `json:"name"`
	Msgs  uint64 `json:"msgs"`
	Bytes uint64 `json:"bytes"`
	First uint64 `json:"first_seq"`
	Last  uint64 `json:"last_seq"`
}

const (
	monitorTimeout = 10 * time.Second
	monitorPage    = 1024
	monitorBytes   = 256 << 20 // of a page
)

// look asks monitoring: of a cluster that of the leader, if it answers.
func (s *Serving) look(ctx context.Context) (*oldState, error) {
	var errs []error
	var follower *oldState
	var at string
	for _, base := range s.Monitor {
		state := &oldState{}
		err := getJSON(ctx, base, "/streaming/serverz", state)
		switch {
		case err != nil:
			errs = append(errs, err)
		case state.State == "FT_STANDBY" || state.State == "FAILED" || state.State == "SHUTDOWN":
			errs = append(errs, fmt.Errorf("%s: the server is in state %s", base, state.State))
		case state.leads():
			return state, s.list(ctx, base, state)
		default:
			follower, at = state, base
		}
	}
	if follower != nil {
		return follower, s.list(ctx, at, follower)
	}
	return nil, fmt.Errorf("monitoring of the old server: %w", errors.Join(errs...))
}

func (s *Serving) list(ctx context.Context, base string, state *oldState) error {
	for {
		var page struct {
			Total    int          `json:"total"`
			Channels []oldChannel `json:"channels"`
		}
		path := fmt.Sprintf("/streaming/channelsz?subs=1&offset=%d&limit=%d", len(state.channels), monitorPage)
		if err := getJSON(ctx, base, path, &page); err != nil {
			return err
		}
		state.channels = append(state.channels, page.Channels...)
		if len(page.Channels) == 0 || len(state.channels) >= page.Total {
			return nil
		}
	}
}

func getJSON(ctx context.Context, base, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	at := strings.TrimSuffix(base, "/") + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return fmt.Errorf("monitoring URL %s: write http://host:8222", base)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: name the monitoring port of NATS Streaming (-m)", at, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, monitorBytes)).Decode(into); err != nil {
		return fmt.Errorf("%s does not answer as NATS Streaming: %w", at, err)
	}
	return nil
}
