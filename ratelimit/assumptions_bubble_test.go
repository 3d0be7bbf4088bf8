package ratelimit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// TestAssumptions breaks what the theorem assumes, one thing at a time, to show
// that it is needed and that the counter sees it: for the account and for a cap.
// What a counter finds here is counted apart from all other tests, where it must
// find nothing.
func TestAssumptions(t *testing.T) {
	t.Parallel()
	broken := func(name string, f func(r *rig, caps []ratelimit.Cap, count func(time.Time))) {
		for of, caps := range map[string][]ratelimit.Cap{"account": nil, "cap": {from("1", 1)}} {
			n := 1
			if caps != nil {
				n = 50
			}
			bubble(t, name+", "+of, n, func(t *testing.T, r *rig) {
				c := &counter{n: 1, per: time.Second}
				var moments []time.Time // the counter wants them in order
				f(r, caps, func(at time.Time) { moments = append(moments, at) })
				slices.SortFunc(moments, time.Time.Compare)
				for _, at := range moments {
					c.attempt(at)
				}
				attempts, violated := c.totals()
				t.Logf("%d of %d attempts beyond the limit", violated, attempts)
				if violated == 0 {
					t.Errorf("got nothing beyond the limit in %d attempts, want what the assumption is for", attempts)
				}
			})
		}
	}
	// next counts the next attempt that is granted at once when it is.
	next := func(p *party, caps []ratelimit.Cap, count func(time.Time)) {
		p.send("normal", caps...)
		count(time.Now())
	}
	broken("1: counted after its answer", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		a := r.join(true)
		a.send("normal", caps...).Responded()
		count(time.Now().Add(500 * time.Millisecond))
		next(a, caps, count)
	})
	broken("1: counted twice, by a proxy that repeats", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		a := r.join(true)
		a.send("normal", caps...)
		count(time.Now())
		count(time.Now().Add(100 * time.Millisecond))
	})
	broken("2: a request without an answer is on its way for longer than D", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		a := r.join(true)
		a.send("normal", caps...).Written(nil)
		count(time.Now().Add(r.o.PathDelay + 200*time.Millisecond))
		next(a, caps, count)
	})
	broken("2: acknowledged, and counted much later", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		a := r.join(true)
		a.send("normal", caps...).Written(func() bool { return true })
		count(time.Now().Add(time.Second))
		next(a, caps, count)
	})
	broken("3: a request that leaves after its deadline", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		a, b := r.join(true), r.join(false)
		a.send("normal", caps...)
		a.cut(true)
		count(time.Now().Add(rigLease + rigMargin))
		next(b, caps, count)
	})
	broken("3: given up, and its rest sent later all the same", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		a := r.join(true)
		p := a.send("normal", caps...)
		time.Sleep(100 * time.Millisecond)
		p.Abandoned()
		count(time.Now().Add(r.o.PathDelay + 500*time.Millisecond))
		next(a, caps, count)
	})
	broken("4: the server's clock runs slower by a twentieth", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		a := r.join(true)
		for range 5 {
			p := a.send("normal", caps...)
			count(r.start.Add(time.Since(r.start) * 19 / 20))
			p.Responded()
		}
	})
	broken("5: two primaries", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		other := newRig(r.t, r.o.Limits.SMS.N)
		next(r.join(true), caps, count)
		next(other.join(true), caps, count)
	})
	broken("5: a process that takes no permits", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		next(r.join(true), caps, count)
		count(time.Now())
	})
	broken("5: a process with a longer way to the counter than the one that finds the loss", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		short := r.o.PathDelay
		r.o.PathDelay = 20 * time.Second
		a := r.join(true)
		r.o.PathDelay = short
		b := r.join(false)
		a.send("normal", caps...).Written(nil)
		count(time.Now().Add(rigPhantoms + rigMargin))
		a.cut(true)
		r.redis.FlushAll()
		next(b, caps, count)
	})
	broken("a fresh start that is none", func(r *rig, caps []ratelimit.Cap, count func(time.Time)) {
		next(r.join(true), caps, count)
		r.redis.FlushAll()
		next(r.join(true), caps, count)
	})
}
