package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// from is the cap of one sending number: n per second.
func from(number string, n int) ratelimit.Cap {
	return ratelimit.Cap{Name: "from:" + number, Rate: per(n, time.Second)}
}

// send takes a permit with caps, however long it waits.
func (p *party) send(lane ratelimit.Lane, caps ...ratelimit.Cap) *ratelimit.Permit {
	p.r.t.Helper()
	permit, err := p.Take(p.r.t.Context(), ratelimit.KindSMS, lane, caps...)
	if err != nil {
		p.r.t.Fatal(err)
	}
	return permit
}

// refused fails the test if a permit with caps can be had within d.
func (p *party) refused(d time.Duration, caps ...ratelimit.Cap) {
	p.r.t.Helper()
	ctx, cancel := context.WithTimeout(p.r.t.Context(), d)
	defer cancel()
	if _, err := p.Take(ctx, ratelimit.KindSMS, ratelimit.LaneNormal, caps...); err == nil {
		p.r.t.Fatalf("got a permit %v after the start, want none for %v", time.Since(p.r.start), d)
	}
}

// left returns what is in Redis of caps: keys, and fields of the state.
func (r *rig) left() []string {
	var left []string
	for _, key := range r.redis.Keys() {
		if strings.Contains(key, "cap:") {
			left = append(left, key)
		}
	}
	fields, err := r.redis.HKeys("{flowroute}:limit:a:state")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range fields {
		if strings.HasPrefix(f, "cap:") {
			left = append(left, f)
		}
	}
	return left
}

func TestCaps(t *testing.T) {
	t.Parallel()
	bubble(t, "a permit of a cap is back one second after the answer, others do not wait for it", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.send("bulk", from("1", 1))
		b.send("bulk", from("2", 1))
		b.take()
		r.within(0, 100*time.Millisecond)
		time.Sleep(300 * time.Millisecond)
		p.Responded()
		b.send("bulk", from("1", 1))
		r.within(1300*time.Millisecond, 1420*time.Millisecond)
	})
	bubble(t, "several caps at once", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		campaign := ratelimit.Cap{Name: "campaign:7", Rate: per(2, time.Second)}
		a.send("bulk", from("1", 1), campaign).Responded()
		a.send("bulk", campaign, from("2", 1)).Responded()
		a.send("bulk", from("3", 1)).Responded()
		r.within(0, 100*time.Millisecond)
		a.send("bulk", from("4", 1), campaign)
		r.within(time.Second, 1100*time.Millisecond)
	})
	bubble(t, "a kind without a limit has its caps", 5, func(t *testing.T, r *rig) {
		r.o.Limits = ratelimit.Limits{}
		a, b := r.join(true), r.join(false)
		a.send("bulk", from("1", 1)).Responded()
		b.send("otp", from("1", 1))
		r.within(time.Second, 1100*time.Millisecond)
		a.take()
		r.within(time.Second, 1100*time.Millisecond)
	})
	bubble(t, "an OTP goes before its sender's bulk of another process", 50, func(t *testing.T, r *rig) {
		a, b, c := r.join(true), r.join(false), r.join(false)
		p := c.send("bulk", from("1", 1))
		ctx, cancel := context.WithCancel(t.Context())
		var bulk sync.WaitGroup
		for _, q := range []*party{a, b} {
			for range 5 {
				bulk.Go(func() {
					for {
						p, err := q.Take(ctx, "sms", "bulk", from("1", 1))
						if err != nil {
							return
						}
						time.Sleep(20 * time.Millisecond)
						p.Responded()
					}
				})
			}
		}
		p.Responded()
		time.Sleep(3300 * time.Millisecond)
		for range 4 {
			p := c.send("otp", from("1", 1))
			if p.Wait() > 1150*time.Millisecond {
				t.Errorf("got a wait of %v for an OTP, want the sender's next permit", p.Wait())
			}
			p.Responded()
			time.Sleep(2 * time.Second)
		}
		cancel()
		bulk.Wait()
	})
	bubble(t, "a sender's bulk gets its share beside its normal messages", 200, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var mu sync.Mutex
		got := make(map[ratelimit.Lane]int)
		var all sync.WaitGroup
		for range 12 {
			for lane, p := range map[ratelimit.Lane]*party{"normal": a, "bulk": b} {
				all.Go(func() {
					for {
						permit, err := p.Take(ctx, "sms", lane, from("1", 10))
						if err != nil {
							return
						}
						mu.Lock()
						got[lane]++
						mu.Unlock()
						permit.Responded()
					}
				})
			}
		}
		all.Wait()
		if sum := got["normal"] + got["bulk"]; sum < 88 || (got["bulk"]+1)*20 < sum || got["bulk"]*10 > sum {
			t.Errorf("got %v in 10 s, want about 100, 5%% of them bulk", got)
		}
	})
	bubble(t, "first come, first served across processes", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.send("bulk", from("1", 1))
		order := make(chan int, 6)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				p := []*party{a, b}[i/3].send("bulk", from("1", 1))
				order <- i
				p.Responded()
			})
			time.Sleep(10 * time.Millisecond)
		}
		p.Responded()
		all.Wait()
		for want := range 6 {
			if got := <-order; got != want {
				t.Errorf("got waiter %d as number %d", got, want)
			}
		}
		r.within(6*time.Second, 6600*time.Millisecond)
	})
	bubble(t, "what a process says of a cap holds for the others", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.send("bulk", from("1", 1)).Responded()
		b.send("bulk", from("1", 5)).Responded()
		r.within(time.Second, 1100*time.Millisecond)
	})
	bubble(t, "an OTP whose sender is capped holds up nobody", 5, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		slow := ratelimit.Cap{Name: "from:1", Rate: per(1, 20*time.Second)}
		a.send("otp", slow).Responded()
		for range 5 {
			go func() { _, _ = a.Take(t.Context(), "sms", "otp", slow) }()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		here, there := a.flood(ctx, "sms", "sync", 3), b.flood(ctx, "sms", "bulk", 10)
		if got := len(here()) + len(there()); got < 46 {
			t.Errorf("got %d grants in 10 s, want at least 46", got)
		}
		a.Drain()
	})
	bubble(t, "a cap of one in a long time is waited for", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		slow := ratelimit.Cap{Name: "from:1", Rate: per(1, 25*time.Second)}
		a.send("bulk", slow).Responded()
		b.send("bulk", slow).Responded()
		r.within(25*time.Second, 25300*time.Millisecond)
		a.send("bulk", slow)
		r.within(50*time.Second, 50600*time.Millisecond)
	})
	bubble(t, "grants of the account are spread while many senders wait", 5, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var mu sync.Mutex
		var grants []time.Duration
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for {
					p, err := []*party{a, b}[i%2].Take(ctx, "sms", "bulk", from(fmt.Sprint(i/2), 1))
					if err != nil {
						return
					}
					mu.Lock()
					grants = append(grants, time.Since(r.start))
					mu.Unlock()
					time.Sleep(20 * time.Millisecond)
					p.Responded()
				}
			})
		}
		all.Wait()
		for i := 1; i < len(grants); i++ {
			if gap := grants[i] - grants[i-1]; grants[i] > 0 && gap < 180*time.Millisecond {
				t.Errorf("got %v between grants %d and %d, want at least 180 ms", gap, i-1, i)
			}
		}
		if len(grants) < 46 {
			t.Errorf("got %d grants in 10 s, want at least 46", len(grants))
		}
	})
	bubble(t, "who waits for a cap is counted here", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.send("bulk", from("1", 1))
		for range 3 {
			go func() { _, _ = a.Take(t.Context(), "sms", "bulk", from("1", 1)) }()
		}
		time.Sleep(100 * time.Millisecond)
		if got, other := a.WaitingFor("from:1"), a.WaitingFor("from:2"); got != 3 || other != 0 {
			t.Errorf("got %d and %d waiting, want 3 and 0", got, other)
		}
		a.Drain()
		synctest.Wait()
		if got := a.WaitingFor("from:1"); got != 0 {
			t.Errorf("got %d waiting after the end, want 0", got)
		}
	})
}

func TestCapsObeyTheTheorem(t *testing.T) {
	t.Parallel()
	bubble(t, "the holder dies", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.send("bulk", from("1", 1))
		a.cut(true)
		b.send("bulk", from("1", 1))
		r.within(rigLease, rigLease+rigMargin)
	})
	bubble(t, "the state is lost", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.send("bulk", from("1", 1))
		a.cut(true)
		r.redis.FlushAll()
		b.send("bulk", from("1", 1))
		r.within(rigPhantoms, rigPhantoms+rigMargin)
	})
	bubble(t, "the state is lost: phantoms last as long as the cap's period needs", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		slow := ratelimit.Cap{Name: "from:1", Rate: per(1, 6*time.Second)}
		a.send("bulk", slow)
		a.cut(true)
		r.redis.FlushAll()
		b.send("bulk", slow)
		r.within(rigPhantoms+5*time.Second, rigPhantoms+5*time.Second+rigMargin)
	})
	bubble(t, "one of two comes back: the other is still out", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.send("bulk", from("1", 2))
		a.send("bulk", from("1", 2)).Unsent()
		time.Sleep(10 * time.Millisecond)
		b.send("bulk", from("1", 2))
		b.refused(5*time.Second, from("1", 2))
	})
	bubble(t, "a living holder's permit takes the place of a phantom", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.send("bulk", from("1", 1))
		r.redis.FlushAll()
		go func() {
			time.Sleep(rigPhantoms + 2*time.Second)
			p.Responded()
		}()
		b.send("bulk", from("1", 1))
		r.within(rigPhantoms+3*time.Second, rigPhantoms+3*time.Second+rigMargin)
	})
	bubble(t, "one cap's permits are lost", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.send("bulk", from("1", 1))
		a.cut(true)
		r.redis.Del("{flowroute}:limit:a:out:cap:from:1")
		b.refused(rigPhantoms, from("1", 1))
	})
	bubble(t, "a cap's permits are lost in the middle of a call that grants", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		first := a.send("bulk", from("1", 1))
		second := a.send("bulk", from("2", 1))
		go func() { _, _ = b.Take(t.Context(), "sms", "bulk", from("1", 1)) }()
		go func() { _, _ = b.Take(t.Context(), "sms", "bulk", from("2", 1)) }()
		time.Sleep(10 * time.Millisecond)
		first.Unsent()
		time.Sleep(10 * time.Millisecond)
		r.redis.Del("{flowroute}:limit:a:out:cap:from:2")
		a.refused(900*time.Millisecond, from("2", 1))
		second.Responded()
		b.Drain()
	})
	bubble(t, "Redis' clock jumps and nobody who knew the time before is left: no key has lapsed", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.send("bulk", from("1", 1))
		a.cut(true)
		time.Sleep(time.Second)
		jumped := time.Now().Add(10 * time.Minute)
		r.redis.SetTime(jumped)
		r.redis.FastForward(10 * time.Minute)
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					r.redis.SetTime(time.Now().Add(10 * time.Minute))
				}
			}
		}()
		r.join(false).send("bulk", from("1", 1))
		r.within(rigLease, rigLease+time.Second+rigMargin)
	})
	bubble(t, "repeated, the answer lost, called again: one permit", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		lost := errors.New("answer lost")
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			_ = send(again(cmd))
			_ = send(cmd)
			cmd.SetErr(lost)
			return lost
		})
		a.send("bulk", from("1", 1)).Responded()
		if got := a.out(); got != 1 {
			t.Errorf("got %d permits out, want 1", got)
		}
		a.refused(900*time.Millisecond, from("1", 1))
		a.send("bulk", from("1", 1))
		r.within(time.Second, 1200*time.Millisecond)
	})
}

func TestCapsGoAway(t *testing.T) {
	t.Parallel()
	bubble(t, "given back: nothing is left, and that is no loss", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		for i := range 20 {
			a.send("bulk", from(fmt.Sprint(i), 1)).Responded()
		}
		time.Sleep(1100 * time.Millisecond)
		if left := r.left(); len(left) > 0 {
			t.Errorf("got %v left, want nothing", left)
		}
		before := time.Now()
		a.send("bulk", from("1", 1))
		if took := time.Since(before); took > 100*time.Millisecond {
			t.Errorf("got a permit after %v, want it at once", took)
		}
	})
	bubble(t, "the holder died: swept after its lease", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		_ = b
		a.send("bulk", from("1", 1))
		a.cut(true)
		time.Sleep(rigLease + rigMargin + 2*time.Second)
		if left := r.left(); len(left) > 0 {
			t.Errorf("got %v left, want nothing", left)
		}
	})
	bubble(t, "waited for and given up", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		p := a.send("bulk", from("1", 1))
		a.refused(500*time.Millisecond, from("1", 1))
		p.Responded()
		for range 100 { // the in-process Redis' keys lapse by hand
			time.Sleep(time.Second)
			r.redis.FastForward(time.Second)
		}
		if left := r.left(); len(left) > 0 {
			t.Errorf("got %v left, want nothing", left)
		}
	})
	bubble(t, "not while lost permits matter", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.send("bulk", from("1", 1))
		r.redis.FlushAll()
		b.refused(100*time.Millisecond, from("1", 1))
		p.Unsent()
		b.refused(500*time.Millisecond, from("2", 1)) // unborn, and a phantom
		b.send("bulk", from("1", 1))
		r.within(0, 2*time.Second)
	})
}
