package ratelimit_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// TestManyCapped has a thousand senders wait in each of four processes: what that
// costs Redis must not grow with them.
func TestManyCapped(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{time.Second, 20 * time.Second} {
		bubble(t, fmt.Sprintf("one message of each sender every %v", every), 100, func(t *testing.T, r *rig) {
			const senders, last = 1000, 2 * time.Second
			ctx, cancel := context.WithCancel(t.Context())
			var mu sync.Mutex
			got := make(map[int]int)
			var all sync.WaitGroup
			var parties []*party
			for i := range 4 {
				parties = append(parties, r.join(i == 0))
			}
			for _, p := range parties {
				for s := range senders {
					limit := ratelimit.Cap{Name: fmt.Sprintf("from:%d", s), Rate: per(1, every)}
					all.Go(func() {
						for {
							permit, err := p.Take(ctx, "sms", "bulk", limit)
							if err != nil {
								return
							}
							mu.Lock()
							got[s]++
							mu.Unlock()
							time.Sleep(20 * time.Millisecond)
							permit.Responded()
						}
					})
				}
			}
			time.Sleep(last)
			mu.Lock()
			sum, calls := 0, 0
			for _, n := range got {
				sum += n
			}
			mu.Unlock()
			for _, p := range parties {
				calls += p.calls()
			}
			if least := int(0.93 * 100 / 1.02 * last.Seconds()); sum < least {
				t.Errorf("got %d grants in %v, want at least %d", sum, last, least)
			}
			if most := 10 * sum; calls > most {
				t.Errorf("got %d calls to Redis for %d grants, want at most %d", calls, sum, most)
			}
			t.Logf("%d grants, %d calls", sum, calls)

			// Nobody waits for the capped ones.
			free := make(chan time.Duration, 10)
			for i := range cap(free) {
				go func() {
					p, err := parties[i%4].Take(t.Context(), "sms", "normal")
					if err == nil {
						free <- p.Wait()
						p.Responded()
					}
				}()
			}
			for range cap(free) {
				if wait := <-free; wait > 250*time.Millisecond {
					t.Errorf("got a wait of %v for one without a cap, want the next permits", wait)
				}
			}
			cancel()
			all.Wait()
		})
	}
}
