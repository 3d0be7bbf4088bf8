package flowroute_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// limitedPass is a Pass that wants to hear of a 429.
type limitedPass struct{ *pass }

func (p limitedPass) RateLimited(retryAfter time.Duration) {
	p.note("RateLimited " + retryAfter.String())
}

// A 429 is told to the Pass of any request, a read too, before its end.
func TestPassHearsOfRateLimit(t *testing.T) {
	t.Parallel()
	server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	for name, request := range map[string]func(*flowroute.Client) error{
		"read": func(c *flowroute.Client) error { _, err := c.Number(t.Context(), sender); return err },
		"write": func(c *flowroute.Client) error {
			_, err := c.SendMessage(t.Context(), hello, flowroute.Write{})
			return err
		},
	} {
		heard := &pass{}
		gate := func(context.Context, flowroute.Endpoint) (flowroute.Pass, error) { return limitedPass{heard}, nil }
		if err := request(newClient(t, server.URL).WithGate(gate)); err == nil {
			t.Errorf("%s: got no error", name)
		}
		calls := slices.DeleteFunc(heard.calls, func(call string) bool { return call == "Written" })
		if want := []string{"RateLimited 3s", "Responded"}; !slices.Equal(calls, want) {
			t.Errorf("%s: got %v, want %v", name, calls, want)
		}
	}
}
