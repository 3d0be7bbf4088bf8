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

// waitForDisk waits until everything that was written before is on Redis' disk: also
// what somebody else wrote, and is only found to be known.
func (s *Store) waitForDisk(ctx context.Context) error {
	var node redis.Cmdable = s.rdb
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, s.prefix)
		if err != nil {
			return err
		}
		node = master
	}
	pipe := node.Pipeline()
	// Redis waits for the last write of the connection, and what came before it.
	pipe.Incr(ctx, s.key("synced"))
	synced := pipe.Do(ctx, "WAITAOF", 1, 0, diskPatience.Milliseconds())
	_, _ = pipe.Exec(ctx) // each command carries its own error
	reached, err := synced.Int64Slice()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ledger.ErrNotDurable, err)
	case len(reached) == 0 || reached[0] < 1:
		return fmt.Errorf("%w within %v", ledger.ErrNotDurable, diskPatience)
	}
	return nil
}
