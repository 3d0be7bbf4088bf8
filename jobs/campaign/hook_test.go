package campaign_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// failsOnce lets one script fail: before Redis has it, or after.
type failsOnce struct {
	nth    int // script of those with many arguments
	before bool
	seen   int
}

var errOnce = errors.New("the connection is gone")

func (f *failsOnce) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (f *failsOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f *failsOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "evalsha" || len(cmd.Args()) < 8 {
			return next(ctx, cmd)
		}
		if f.seen++; f.seen != f.nth {
			return next(ctx, cmd)
		}
		if !f.before {
			_ = next(ctx, cmd)
		}
		cmd.SetErr(errOnce)
		return errOnce
	}
}

// A write fails, or its answer is lost, and Redis is there again at once: no recipient is
// in the campaign twice.
func TestUploadFailsForAMoment(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]*failsOnce{"before": {nth: 4, before: true}, "after": {nth: 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.New(t).Client()
			r := setupOn(t, rdb, campaign.Options{})
			id := r.create(campaign.Spec{Template: "Hi {{name}}"})
			file := people(1, 15_000)
			rdb.(*redis.Client).AddHook(hook)
			_, totals, err := r.upload(id, strings.NewReader(file))
			if !errors.Is(err, errOnce) || totals.Accepted == 0 {
				t.Fatalf("got %+v, %v, want it to fail in the middle", totals, err)
			}
			if c := r.get(id); c.Rows < totals.Accepted || c.Rows > 15_000 || c.Segments != c.Rows {
				t.Errorf("%d were answered, %d are there with %d segments", totals.Accepted, c.Rows, c.Segments)
			}
			if _, _, err := r.upload(id, strings.NewReader(file)); err != nil {
				t.Fatal(err)
			}
			if c := r.get(id); c.Rows != 15_000 || c.Segments != 15_000 {
				t.Errorf("got %d rows with %d segments, want 15,000", c.Rows, c.Segments)
			}
		})
	}
}
