package ratelimit_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

var _ flowroute.Pass = (*ratelimit.Permit)(nil)

func TestWhenAPermitIsFree(t *testing.T) {
	t.Parallel()
	const path = 5 * time.Second
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	type tl = ratelimit.Timeline
	for _, c := range []struct {
		name string
		tl   tl
		want time.Duration // 0: not known yet
	}{
		{"nothing is known", tl{}, 0},
		{"unsent: at once", tl{Unsent: ms(500)}, ms(500)},
		{"answered", tl{Written: ms(100), Responded: ms(200)}, ms(1201)},
		{"answered, never said to be written", tl{Responded: ms(200)}, ms(1201)},
		{"written, no answer", tl{Written: ms(100)}, ms(6101)},
		{"written, acknowledged, no answer", tl{Written: ms(100), Acked: ms(300)}, ms(1551)},
		{"answered right after the acknowledgement", tl{Written: ms(100), Acked: ms(300), Responded: ms(350)}, ms(1351)},
		{"answered late: the acknowledgement was enough", tl{Written: ms(100), Acked: ms(300), Responded: ms(10000)}, ms(1551)},
		{"answered late, without acknowledgement", tl{Written: ms(100), Responded: ms(10000)}, ms(6101)},
		{"given up after the write", tl{Written: ms(100), Abandoned: ms(60000)}, ms(6101)},
		{"given up soon after the write", tl{Written: ms(100), Abandoned: ms(200)}, ms(6101)},
		{"given up, perhaps written in part", tl{Abandoned: ms(2000)}, ms(8001)},
		{"given up, acknowledged", tl{Written: ms(100), Acked: ms(300), Abandoned: ms(1000)}, ms(1551)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, known := c.tl.Free(time.Second, path)
			if known != (c.want > 0) || known && got != c.want {
				t.Errorf("got %v, %v, want %v", got, known, c.want)
			}
		})
	}
	if got, _ := (tl{Responded: ms(1000)}).Free(2*time.Second, path); got != ms(3002) {
		t.Errorf("got %v for a period of 2 s, want 3.002s", got)
	}
}

func TestRedisClock(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	type answer struct{ before, after, redis time.Duration }
	for _, c := range []struct {
		name    string
		answers []answer
		jumped  bool // at the last one
	}{
		{"first answer", []answer{{0, 10 * ms, time.Hour}}, false},
		{"even", []answer{{0, 2 * ms, ms}, {1000 * ms, 1002 * ms, 1001 * ms}}, false},
		{"slow on the way there", []answer{{0, 2 * ms, ms}, {1000 * ms, 6002 * ms, 6001 * ms}}, false},
		{"slow on the way back", []answer{{0, 2 * ms, ms}, {1000 * ms, 6002 * ms, 1001 * ms}}, false},
		{"a little forward", []answer{{0, 2 * ms, ms}, {1000 * ms, 1002 * ms, 1900 * ms}}, false},
		{"forward", []answer{{0, 2 * ms, ms}, {1000 * ms, 1002 * ms, 2010 * ms}}, true},
		{"backward", []answer{{0, 2 * ms, ms}, {2000 * ms, 2002 * ms, 980 * ms}}, true},
		{"forward, hidden by a slow answer", []answer{{0, 2 * ms, ms}, {1000 * ms, 3002 * ms, 3001 * ms},
			{3010 * ms, 3012 * ms, 3011 * ms}}, false},
		{"little by little, too fast for a clock", []answer{{0, 2 * ms, ms}, {1000 * ms, 1002 * ms, 1601 * ms},
			{2000 * ms, 2002 * ms, 3201 * ms}}, true},
		{"drift within 1 in 1000", []answer{{0, 2 * ms, ms}, {time.Hour, time.Hour + 2*ms, time.Hour + 3*time.Second}}, false},
		{"settled after a jump", []answer{{0, 2 * ms, ms}, {1000 * ms, 1002 * ms, time.Hour},
			{2000 * ms, 2002 * ms, time.Hour + 1000*ms}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := ratelimit.NewWatch()
			var jumped bool
			for _, a := range c.answers {
				jumped = w.Heard(a.before, a.after, a.redis)
			}
			if jumped != c.jumped {
				t.Errorf("got jumped %v, want %v", jumped, c.jumped)
			}
		})
	}
	w := ratelimit.NewWatch()
	w.Heard(0, 2*ms, 10*time.Second)
	if lo, hi := w.Expects(100 * ms); lo < 9050*ms || hi > 11150*ms {
		t.Errorf("got expectations from %v to %v, want about a second around 10.1 s", lo, hi)
	}
}
