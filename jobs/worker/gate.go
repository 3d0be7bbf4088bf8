package worker

import (
	"context"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Gate lets a client's requests go with a permit of the account's limit, in the
// given lane. Every client of a process needs one: each request counts, whoever
// makes it.
func Gate(l *ratelimit.Limiter, lane ratelimit.Lane) flowroute.Gate {
	return func(ctx context.Context, e flowroute.Endpoint) (flowroute.Pass, error) {
		permit, err := l.Take(ctx, ratelimit.Kind(e), lane)
		if err != nil {
			return nil, err
		}
		return permit, nil
	}
}
