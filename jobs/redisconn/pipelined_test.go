package redisconn_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// Each of many callers gets its own answer, a script that Redis does not know yet is
// sent to it, and those whose caller is gone are run all the same.
func TestPipelined(t *testing.T) {
	t.Parallel()
	rdb := redisconn.Pipelined(redistest.New(t).Worker())
	script := redis.NewScript(`return redis.call('INCRBY', KEYS[1], ARGV[1])`)
	var callers sync.WaitGroup
	for n := range 50 {
		callers.Go(func() {
			for turn := 1; turn <= 20; turn++ {
				got, err := script.Run(t.Context(), rdb, []string{fmt.Sprint("key", n)}, n).Int()
				if err != nil || got != turn*n {
					t.Errorf("caller %d: got %d, %v, want %d", n, got, err, turn*n)
					return
				}
			}
		})
	}
	callers.Wait()
}
