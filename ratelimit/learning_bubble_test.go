package ratelimit_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// against sends through a server that counts, with several waiters, until ctx
// ends: 10 ms there and 10 ms back.
func (p *party) against(ctx context.Context, c *counter, waiters int) (wait func()) {
	var all sync.WaitGroup
	for range waiters {
		all.Go(func() {
			for {
				permit, err := p.Take(ctx, "sms", "bulk")
				if err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
				ok := c.attempt(time.Now())
				time.Sleep(10 * time.Millisecond)
				if !ok {
					permit.RateLimited(0)
				}
				permit.Responded()
			}
		})
	}
	return all.Wait
}

func TestLearning(t *testing.T) {
	t.Parallel()
	bubble(t, "one burst of 429s shrinks the limit once, everywhere, and it grows back", 8, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		var burst []*ratelimit.Permit
		for range 8 {
			burst = append(burst, a.take())
		}
		for _, p := range burst {
			p.RateLimited(0)
			p.Responded()
		}
		s := b.status("sms")
		if s.Learned != per(6, time.Second) || s.Effective != s.Learned || s.Configured != per(8, time.Second) {
			t.Errorf("got %+v, want 6 learned and effective, 8 configured", s)
		}
		time.Sleep(1200 * time.Millisecond)
		p := b.take()
		p.RateLimited(0) // granted after the limit shrank
		burst[0].RateLimited(0)
		p.Responded()
		if got := a.status("sms").Learned.PerSecond(); got < 4.4 || got > 4.7 {
			t.Errorf("got %v per second after the second, want 4.5", got)
		}
		a.stop()
		b.stop()
		time.Sleep(10 * time.Second)
		c := r.join(false)
		if got := c.status("sms").Learned.PerSecond(); got < 4.4 || got > 5 {
			t.Errorf("got %v per second in a later process, want it as it was", got)
		}
		time.Sleep(100 * time.Second)
		if s := c.status("sms"); s.Learned != (ratelimit.Rate{}) || s.Effective != s.Configured {
			t.Errorf("got %+v after 100 s without a 429, want what is configured", s)
		}
	})
	bubble(t, "a limit of one gets a longer period", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		p := a.take()
		p.RateLimited(0)
		p.Responded()
		if got := a.status("sms").Learned; got.N != 1 || got.Per != 1333*time.Millisecond {
			t.Errorf("got %v, want 1 in 1.333 s", got)
		}
		time.Sleep(2 * time.Second)
		before := time.Now()
		a.take().Responded()
		a.take()
		if gap := time.Since(before); gap < 1300*time.Millisecond || gap > 1400*time.Millisecond {
			t.Errorf("got %v between two, want a third longer than a second", gap)
		}
	})
	bubble(t, "never below a twentieth, and a pause that was asked for teaches nothing", 20, func(t *testing.T, r *rig) {
		a := r.join(true)
		if err := a.Penalize(t.Context(), "sms", 0); err != nil {
			t.Fatal(err)
		}
		if got := a.status("sms").Learned; !got.IsZero() {
			t.Errorf("got %v learned from Penalize, want nothing", got)
		}
		for range 20 {
			p := a.take()
			p.RateLimited(0)
			p.Responded()
		}
		if got := a.status("sms").Learned.PerSecond(); got < 1 || got > 1.3 {
			t.Errorf("got %v per second, want about one", got)
		}
	})
	bubble(t, "another user of the key: few 429s, most of what is left", 10, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		c := &counter{n: 10, per: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var waits []func()
		for _, p := range []*party{a, b} {
			waits = append(waits, p.against(ctx, c, 10))
		}
		var all sync.WaitGroup
		all.Go(func() {
			for ctx.Err() == nil {
				c.attempt(time.Now())
				time.Sleep(250 * time.Millisecond) // 4 of the 10 per second
			}
		})
		time.Sleep(time.Until(r.start.Add(20 * time.Second)))
		attempts, violated := c.totals()
		for _, wait := range waits {
			wait()
		}
		all.Wait()
		after, beyond := c.totals()
		ours, rejected := after-attempts-160, beyond-violated
		t.Logf("%d attempts of ours in 40 s, %d rejected, %d while learning", ours, rejected, violated)
		if ours < 40*6*70/100 || rejected*40 > ours {
			t.Errorf("got %d attempts in 40 s, %d rejected, want at least 70%% of 240 and few of them", ours, rejected)
		}
	})
	bubble(t, "a process with 5 per second replaced by one with 10, and back: what is in flight counts", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		for range 5 {
			a.take()
		}
		a.stop()
		r.o.Limits.SMS = per(10, time.Second)
		b := r.join(false)
		for range 5 {
			b.take()
		}
		r.within(0, 1100*time.Millisecond) // spread
		b.none(500 * time.Millisecond)
		b.stop()
		r.o.Limits.SMS = per(5, time.Second)
		c := r.join(false)
		if s := c.status("sms"); s.Out != 10 || s.Effective != per(5, time.Second) {
			t.Errorf("got %+v, want 10 out of 5", s)
		}
		c.take()
		r.within(rigLease, rigLease+2*rigMargin)
		if got := c.out(); got > 5 {
			t.Errorf("got %d out when one was granted, want at most 5", got)
		}
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	bubble(t, "who declares what", 5, func(t *testing.T, r *rig) {
		r.o.Process = "blue host/1"
		a := r.join(true)
		r.o.Process, r.o.Limits.SMS = "green", per(2, time.Second)
		r.join(false)
		s := a.status("sms")
		if len(s.Declared) != 2 || s.Declared[0].Rate != per(5, time.Second) || s.Declared[1].Rate != per(2, time.Second) {
			t.Fatalf("got %+v, want 5 and 2 per second", s.Declared)
		}
		for i, want := range []string{"blue-host-1_", "green_"} {
			if got := s.Declared[i].Process; got[:len(want)] != want {
				t.Errorf("got process %q, want it to begin with %q", got, want)
			}
		}
	})
	bubble(t, "waiting and granted by lane, those included that wait for a cap", 3, func(t *testing.T, r *rig) {
		r.o.Limits.MMS = per(1, time.Second)
		a, b := r.join(true), r.join(false)
		a.send("otp", from("1", 1))
		if _, err := b.Take(t.Context(), ratelimit.KindMMS, ratelimit.LaneNormal); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			go func() { _, _ = a.Take(t.Context(), "sms", "bulk", from("1", 1)) }()
			go func() { _, _ = b.Take(t.Context(), "mms", "bulk") }()
		}
		time.Sleep(1100 * time.Millisecond)
		sms, mms := a.status("sms").Lanes, b.status("mms").Lanes
		if sms["otp"].Granted != 1 || sms["normal"].Granted != 1 || sms["bulk"] != (ratelimit.LaneStatus{Waiting: 8}) {
			t.Errorf("got %+v for SMS, want one OTP and one normal granted, 8 bulk waiting", sms)
		}
		if mms["otp"].Granted != 0 || mms["normal"].Granted != 1 || mms["bulk"].Waiting != 4 {
			t.Errorf("got %+v for MMS, want one normal granted, 4 bulk waiting", mms)
		}
		a.Drain()
		b.Drain()
	})
}
