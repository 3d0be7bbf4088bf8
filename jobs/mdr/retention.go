package mdr

import (
	"context"

	"github.com/redis/go-redis/v9"
)

const (
	// The longest retention that is asked for is ten years.
	oldestDays = 3653
	// trimDays is how many days one sync removes.
	trimDays = 16
)

// trim removes the records of days that are over the retention but do not lapse yet,
// since it was longer when they were stored; it reports whether there may be more. What
// the indexes have of them lapses with the former retention.
func (s *Store) trim(ctx context.Context) (more bool, err error) {
	last := minuteOf(s.now().Add(-s.retention))/minutesPerDay - 1
	days := make([]string, oldestDays)
	for i := range days {
		days[i], _ = s.dayKey((last - int64(i)) * minutesPerDay)
	}
	if n, err := s.rdb.Exists(ctx, days...).Result(); n == 0 || err != nil {
		return false, err
	}
	pipe := s.rdb.Pipeline()
	for _, key := range days {
		pipe.Exists(ctx, key)
	}
	found, err := pipe.Exec(ctx)
	if err != nil {
		return false, err
	}
	removed := 0
	for i, cmd := range found {
		if cmd.(*redis.IntCmd).Val() == 0 {
			continue
		}
		if removed == trimDays {
			return true, nil
		}
		removed++
		first := (last - int64(i)) * minutesPerDay
		keys := make([]string, 0, minutesPerDay)
		for m := first; m < first+minutesPerDay; m++ {
			keys = append(keys, s.blockKey(m))
		}
		// The day last: while it is there, whoever dies in between finds it again.
		if err := s.rdb.Unlink(ctx, keys...).Err(); err != nil {
			return false, err
		}
		if err := s.rdb.Unlink(ctx, days[i]).Err(); err != nil {
			return false, err
		}
	}
	return false, nil
}
