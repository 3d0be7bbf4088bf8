package suppress

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// diskPatience is how long the disk is waited for. A file that is synced each second
// takes up to a second or two.
const diskPatience = 2500 * time.Millisecond

// runDurably runs the script and waits for the disk, on one connection, since Redis
// waits for what its connection wrote.
func (s *Store) runDurably(ctx context.Context, keys []string, args []any) ([]int64, error) {
	node, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		pipe := node.Pipeline()
		done := putScript.EvalSha(ctx, pipe, keys, args...)
		// What is found to be known may not be on the disk yet. This write comes after it.
		pipe.Incr(ctx, s.key("synced"))
		synced := pipe.Do(ctx, "WAITAOF", 1, 0, diskPatience.Milliseconds())
		_, _ = pipe.Exec(ctx) // each command carries its own error
		if redis.HasErrorPrefix(done.Err(), "NOSCRIPT") && tries == 0 {
			if err := putScript.Load(ctx, node).Err(); err != nil {
				return nil, err
			}
			continue
		}
		lost, err := done.Int64Slice()
		if err != nil {
			return nil, err
		}
		return lost, onDisk(synced)
	}
}

func onDisk(synced *redis.Cmd) error {
	reached, err := synced.Int64Slice()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ledger.ErrNotDurable, err)
	case len(reached) == 0 || reached[0] < 1:
		return fmt.Errorf("%w within %v", ledger.ErrNotDurable, diskPatience)
	}
	return nil
}

// node is the server that has the opt-outs.
func (s *Store) node(ctx context.Context) (interface {
	redis.Cmdable
	redis.Scripter
}, error) {
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, s.prefix)
	}
	return s.rdb, nil
}
