package torture

import (
	"context"
	"time"
)

// sleep reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// every does something at each period until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) {
	for sleep(ctx, period) {
		do()
	}
}

// until asks again after each period until it is so, at most for that long in all. It
// reports whether that came about.
func until(ctx context.Context, most, period time.Duration, so func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for !so(ctx) {
		if !sleep(ctx, period) {
			return false
		}
	}
	return true
}
