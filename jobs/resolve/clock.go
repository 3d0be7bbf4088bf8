package resolve

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Clock is what is known of Flowroute's clock, as it stamps records, against Redis'.
type Clock struct {
	Offset  time.Duration // positive: Flowroute's is ahead
	Spread  time.Duration // between the smallest and the largest sample, without the outer tenths
	Samples int
	At      time.Time // of the latest sample; zero: none yet
}

// learned reports whether the offset can be relied on to a minute.
func (c Clock) learned() bool { return c.Samples >= enoughSamples && c.Spread <= 20*time.Second }

const (
	enoughSamples = 20
	keptSamples   = 64
)

// margin is how far the time of a record may be from that of its post.
func (c Clock) margin() time.Duration {
	switch {
	case c.learned():
		return time.Minute
	case c.Samples > 0:
		return windowBefore
	}
	return time.Hour
}

// slack is how far times of single records are from the offset.
func (c Clock) slack() time.Duration {
	if !c.learned() {
		return time.Hour
	}
	return c.Spread + 2*time.Second
}

// readClock reads the clock and the samples it was learned from, in ms.
func readClock(ctx context.Context, rdb redis.Cmdable, prefix string) (Clock, []int64, error) {
	f, err := rdb.HMGet(ctx, keyClock(prefix), "samples", "at").Result()
	if err != nil {
		return Clock{}, nil, fmt.Errorf("read clock offset: %w", err)
	}
	list, _ := f[0].(string)
	var samples []int64
	for text := range strings.FieldsSeq(list) {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
			samples = append(samples, ms)
		}
	}
	at, _ := f[1].(string)
	ms, _ := strconv.ParseInt(at, 10, 64)
	return clockOf(samples, time.UnixMilli(ms)), samples, nil
}

func clockOf(samples []int64, at time.Time) Clock {
	n := len(samples)
	if n == 0 {
		return Clock{}
	}
	sorted := slices.Clone(samples)
	slices.Sort(sorted)
	inner := sorted[n/10 : n-n/10]
	ms := func(v int64) time.Duration { return time.Duration(v) * time.Millisecond }
	return Clock{Offset: ms(sorted[n/2]), Spread: ms(inner[len(inner)-1] - inner[0]), Samples: n, At: at}
}

// learn adds samples to the clock and keeps the latest of them. Two processes that
// do so at once lose some; that does no harm.
func learn(ctx context.Context, rdb redis.Cmdable, prefix string, fresh []int64, now time.Time) (Clock, error) {
	clock, samples, err := readClock(ctx, rdb, prefix)
	if err != nil || len(fresh) == 0 {
		return clock, err
	}
	samples = append(samples, fresh...)
	samples = samples[max(0, len(samples)-keptSamples):]
	clock = clockOf(samples, now)
	texts := make([]string, len(samples))
	for i, ms := range samples {
		texts[i] = strconv.FormatInt(ms, 10)
	}
	err = rdb.HSet(ctx, keyClock(prefix), "samples", strings.Join(texts, " "), "at", now.UnixMilli(),
		"offset", clock.Offset.Milliseconds(), "spread", clock.Spread.Milliseconds(), "n", clock.Samples).Err()
	if err != nil {
		return clock, fmt.Errorf("keep clock offset: %w", err)
	}
	return clock, nil
}

// lagMax notes a lag in its hour, when it is the largest there.
// KEYS 1 the hash; ARGV 1 hour, 2 ms, 3 hours that count. Returns the largest of those.
var lagMax = redis.NewScript(`
local hour, most = tonumber(ARGV[1]), 0
local held = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if tonumber(ARGV[2]) > held then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], 90000000)
end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(all[i]) <= hour - tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], all[i])
  else
    most = math.max(most, tonumber(all[i + 1]))
  end
end
return most`)

const lagHours = 25 // the running one, and a day

// noteLag keeps a lag that was measured and returns the largest of the last day.
func noteLag(ctx context.Context, rdb redis.Scripter, prefix string, lag time.Duration, now time.Time) (time.Duration, error) {
	ms, err := lagMax.Run(ctx, rdb, []string{keyLag(prefix)}, now.Unix()/3600, lag.Milliseconds(), lagHours).Int64()
	if err != nil {
		return 0, fmt.Errorf("keep the records' lag: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// readLag is the largest lag of the last day.
func readLag(ctx context.Context, rdb redis.Cmdable, prefix string, now time.Time) (time.Duration, error) {
	all, err := rdb.HGetAll(ctx, keyLag(prefix)).Result()
	if err != nil {
		return 0, fmt.Errorf("read the records' lag: %w", err)
	}
	var most int64
	for hour, lag := range all {
		h, _ := strconv.ParseInt(hour, 10, 64)
		ms, _ := strconv.ParseInt(lag, 10, 64)
		if h > now.Unix()/3600-lagHours {
			most = max(most, ms)
		}
	}
	return time.Duration(most) * time.Millisecond, nil
}
