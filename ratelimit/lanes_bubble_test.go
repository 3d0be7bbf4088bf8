package ratelimit_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

func TestLanes(t *testing.T) {
	t.Parallel()
	bubble(t, "an OTP takes the very next permit, whatever waits in whichever process", 5, func(t *testing.T, r *rig) {
		a, b, c := r.join(true), r.join(false), r.join(false)
		ctx, cancel := context.WithCancel(t.Context())
		var floods []func() []time.Duration
		for _, p := range []*party{a, b} {
			for _, lane := range []ratelimit.Lane{"resolve", "normal", "bulk", "sync"} {
				floods = append(floods, p.flood(ctx, "sms", lane, 20))
			}
		}
		time.Sleep(5 * time.Second)
		for i := range 6 {
			p, err := []*party{a, b, c}[i%3].Take(t.Context(), "sms", "otp")
			if err != nil {
				t.Fatal(err)
			}
			if most := 230 * time.Millisecond; p.Wait() > most {
				t.Errorf("got a wait of %v for an OTP, want at most %v", p.Wait(), most)
			}
			time.Sleep(20 * time.Millisecond)
			p.Responded()
			time.Sleep(2 * time.Second)
		}
		cancel()
		for _, wait := range floods {
			wait()
		}
	})
	bubble(t, "bulk and sync get their shares, the rest is normal's", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		normal := a.flood(ctx, "sms", "normal", 60)
		bulk, bulk2 := a.flood(ctx, "sms", "bulk", 60), b.flood(ctx, "sms", "bulk", 60)
		sync := b.flood(ctx, "sms", "sync", 60)
		n, m, s := len(normal()), len(bulk())+len(bulk2()), len(sync())
		all := n + m + s
		if (m+1)*20 < all || m*20 > all*6/5 {
			t.Errorf("got %d of %d for bulk, want 5%%", m, all)
		}
		if (s+1)*50 < all || s*50 > all*3/2 {
			t.Errorf("got %d of %d for sync, want 2%% or a few more", s, all)
		}
		if all < 450 {
			t.Errorf("got %d in 10 s, want at least 450", all)
		}
	})
	bubble(t, "one OTP after another starves the rest: strict", 2, func(t *testing.T, r *rig) {
		a := r.join(true)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		otp, bulk := a.flood(ctx, "sms", "otp", 10), a.flood(ctx, "sms", "bulk", 10)
		if got := len(otp()); got < 36 {
			t.Errorf("got %d OTPs in 20 s, want at least 36", got)
		}
		if got := len(bulk()); got > 1 {
			t.Errorf("got %d bulk messages beside them, want at most 1", got)
		}
	})
	bubble(t, "processes take turns", 20, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var floods []func() []time.Duration
		for i := range 4 {
			floods = append(floods, r.join(i == 0).flood(ctx, "sms", "bulk", 5+20*i))
		}
		least, most := 1000, 0
		for _, wait := range floods {
			got := len(wait())
			least, most = min(least, got), max(most, got)
		}
		if least < 44 || most-least > 3 {
			t.Errorf("got %d to %d grants per process, want nearly the same, about 48", least, most)
		}
	})
	bubble(t, "first come, first served in a process", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.take()
		order := make(chan int, 10)
		for i := range 10 {
			go func() {
				if _, err := a.Take(t.Context(), "sms", "normal"); err == nil {
					order <- i
				}
			}()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		for want := range 4 {
			if got := <-order; got != want {
				t.Errorf("got waiter %d as number %d", got, want)
			}
		}
		a.Drain()
	})
	bubble(t, "kinds that share a limit never wait for each other forever", 3, func(t *testing.T, r *rig) {
		r.o.Limits.MMS, r.o.Limits.Lookups, r.o.Limits.LookupsShareSMS = per(2, time.Second), per(2, time.Second), true
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		rng := rand.New(rand.NewPCG(1, 1))
		floods := make(map[ratelimit.Kind][]func() []time.Duration)
		for i := range 4 {
			p := r.join(i == 0)
			for _, k := range []ratelimit.Kind{"sms", "mms", "lookup"} {
				for _, lane := range []ratelimit.Lane{"normal", "bulk", "sync"} {
					if i == 0 || rng.IntN(2) == 0 {
						floods[k] = append(floods[k], p.flood(ctx, k, lane, 1+rng.IntN(5)))
					}
				}
			}
		}
		total := 0
		for k, waits := range floods {
			sum := 0
			for _, wait := range waits {
				sum += len(wait())
			}
			if sum < 2 {
				t.Errorf("got %d permits for %s in 10 s, want its share", sum, k)
			}
			total += sum
		}
		if total < 24 {
			t.Errorf("got %d permits in 10 s, want nearly 29", total)
		}
	})
	bubble(t, "who waits is seen", 1, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		ctx, cancel := context.WithCancel(t.Context())
		p := a.take()
		floods := []func() []time.Duration{a.flood(ctx, "sms", "bulk", 7), b.flood(ctx, "sms", "bulk", 2), b.flood(ctx, "sms", "otp", 1)}
		time.Sleep(1100 * time.Millisecond)
		if got := [2]int{a.status("sms").Waiting, b.status("sms").Waiting}; got != [2]int{7, 3} {
			t.Errorf("got %v waiting here, want 7 and 3", got)
		}
		if got, err := b.Waiting(ctx); err != nil || got["bulk"] != 9 || got["otp"] != 1 {
			t.Errorf("got %v, %v waiting everywhere, want 9 bulk and 1 OTP", got, err)
		}
		cancel()
		for _, wait := range floods {
			wait()
		}
		p.Unsent()
	})
}
