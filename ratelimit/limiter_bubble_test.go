package ratelimit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

func per(n int, d time.Duration) ratelimit.Rate { return ratelimit.Rate{N: n, Per: d} }

func TestGrants(t *testing.T) {
	t.Parallel()
	bubble(t, "an idle limit delays nobody", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		for range 5 {
			a.take()
		}
		r.within(0, 10*time.Millisecond)
		a.none(900 * time.Millisecond)
	})
	bubble(t, "a permit is back one second after the answer", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		p := a.take()
		time.Sleep(300 * time.Millisecond)
		p.Responded()
		a.take()
		r.within(1301*time.Millisecond, 1320*time.Millisecond)
	})
	bubble(t, "while anybody waits grants are spread", 5, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		first := a.flood(ctx, "sms", "bulk", 10)
		time.Sleep(50 * time.Millisecond)
		second := b.flood(ctx, "sms", "normal", 10)
		grants := slices.Concat(first(), second())
		slices.Sort(grants)
		for i := 1; i < len(grants); i++ {
			if grants[i] == 0 {
				continue // nobody waited yet
			}
			if gap := grants[i] - grants[i-1]; gap < 180*time.Millisecond {
				t.Errorf("got %v between grants %d and %d, want at least 180 ms", gap, i-1, i)
			}
		}
		if len(grants) < 46 {
			t.Errorf("got %d grants in 10 s, want at least 46", len(grants))
		}
	})
	bubble(t, "without an answer: when acknowledged, else after D", 2, func(t *testing.T, r *rig) {
		a := r.join(true)
		p, q := a.take(), a.take()
		p.Written(nil)
		q.Written(func() bool { return time.Since(r.start) > 500*time.Millisecond })
		a.take()
		r.within(1750*time.Millisecond, 1850*time.Millisecond)
		a.take()
		r.within(3*time.Second, 3100*time.Millisecond)
		p.Responded()
		q.Abandoned()
		time.Sleep(5 * time.Second)
		if got := a.out(); got != 2 {
			t.Errorf("got %d permits out, want 2", got)
		}
	})
	bubble(t, "a written request is not unsent", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		p := a.take()
		p.Written(nil)
		p.Unsent()
		a.none(2900 * time.Millisecond)
	})
	bubble(t, "a waiter that gave up costs no permit", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		p := a.take()
		a.none(100 * time.Millisecond)
		r.within(100*time.Millisecond, 100*time.Millisecond)
		p.Unsent()
		synctest.Wait()
		time.Sleep(300 * time.Millisecond)
		if got := a.out(); got != 0 {
			t.Errorf("got %d permits out, want 0", got)
		}
	})
	bubble(t, "given to a waiter as it gives up: back at once", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		ctx, cancel := context.WithCancel(t.Context())
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			err := send(cmd)
			cancel()
			synctest.Wait()
			return err
		})
		if _, err := a.Take(ctx, "sms", "otp"); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context canceled", err)
		}
		time.Sleep(10 * time.Millisecond)
		if got := a.out(); got != 0 {
			t.Errorf("got %d permits out, want 0", got)
		}
	})
}

func TestKinds(t *testing.T) {
	t.Parallel()
	bubble(t, "an MMS takes an MMS and an SMS permit", 5, func(t *testing.T, r *rig) {
		r.o.Limits.MMS = per(1, time.Second)
		a := r.join(true)
		p, err := a.Take(t.Context(), ratelimit.KindMMS, ratelimit.LaneNormal)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int{a.status("mms").Out, a.status("sms").Out}; got != [2]int{1, 1} {
			t.Errorf("got %v permits out, want one each", got)
		}
		p.Unsent()
		time.Sleep(10 * time.Millisecond)
		if got := [2]int{a.status("mms").Out, a.status("sms").Out}; got != [2]int{0, 0} {
			t.Errorf("got %v permits out, want none", got)
		}
	})
	for shared, want := range map[bool]int{true: 1, false: 0} {
		bubble(t, "a look-up and SMS permits", 5, func(t *testing.T, r *rig) {
			r.o.Limits.Lookups, r.o.Limits.LookupsShareSMS = per(1, time.Second), shared
			a := r.join(true)
			if _, err := a.Take(t.Context(), ratelimit.KindLookup, ratelimit.LaneResolve); err != nil {
				t.Fatal(err)
			}
			if got := a.out(); got != want {
				t.Errorf("got %d SMS permits out with sharing %v, want %d", got, shared, want)
			}
		})
	}
	bubble(t, "MMS that wait for MMS permits do not hold up SMS", 5, func(t *testing.T, r *rig) {
		r.o.Limits.MMS = per(1, 10*time.Second)
		a, b := r.join(true), r.join(false)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		mms, sms := a.flood(ctx, "mms", "otp", 10), b.flood(ctx, "sms", "bulk", 10)
		if got := len(sms()); got < 85 {
			t.Errorf("got %d SMS in 20 s, want at least 85", got)
		}
		if got := len(mms()); got != 2 {
			t.Errorf("got %d MMS in 20 s, want 2", got)
		}
	})
	bubble(t, "no limit: no Redis", 1, func(t *testing.T, r *rig) {
		r.o.Limits = ratelimit.Limits{}
		a := r.join(true)
		a.cut(true)
		for range 100 {
			p := a.take()
			if left := time.Until(p.Deadline()); left != r.o.WriteWindow {
				t.Fatalf("got %v until the deadline, want %v", left, r.o.WriteWindow)
			}
			p.Written(nil)
			p.Responded()
		}
		r.within(0, 0)
		if list, err := a.Status(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("got %v, %v, want no limits", list, err)
		}
	})
}

func TestPenalty(t *testing.T) {
	t.Parallel()
	penalize := func(t *testing.T, p *party, k ratelimit.Kind, d time.Duration) {
		t.Helper()
		if err := p.Penalize(t.Context(), k, d); err != nil {
			t.Fatal(err)
		}
	}
	bubble(t, "a second at least, for everybody", 5, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		penalize(t, a, ratelimit.KindSMS, 0)
		if until := b.status("sms").PenaltyUntil; until.Sub(r.start) < time.Second {
			t.Errorf("got a penalty until %v after the start, want a second", until.Sub(r.start))
		}
		b.take()
		r.within(time.Second, 1100*time.Millisecond)
	})
	bubble(t, "as long as asked for, and the longer one counts", 5, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		penalize(t, a, ratelimit.KindSMS, 30*time.Second)
		penalize(t, b, ratelimit.KindSMS, 2*time.Second)
		a.take()
		r.within(30*time.Second, 30100*time.Millisecond)
	})
	bubble(t, "by way of the permit", 5, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.take()
		p.RateLimited(3 * time.Second)
		p.Responded()
		b.take()
		r.within(3*time.Second, 3100*time.Millisecond)
	})
	bubble(t, "an MMS penalty leaves SMS alone", 5, func(t *testing.T, r *rig) {
		r.o.Limits.MMS = per(1, time.Second)
		a := r.join(true)
		penalize(t, a, ratelimit.KindMMS, 5*time.Second)
		a.take()
		r.within(0, 10*time.Millisecond)
		if _, err := a.Take(t.Context(), ratelimit.KindMMS, ratelimit.LaneOTP); err != nil {
			t.Fatal(err)
		}
		r.within(5*time.Second, 5100*time.Millisecond)
	})
	bubble(t, "without a limit, for this process", 5, func(t *testing.T, r *rig) {
		r.o.Limits = ratelimit.Limits{}
		a := r.join(true)
		penalize(t, a, ratelimit.KindSMS, 2*time.Second)
		a.none(time.Second)
		a.take()
		r.within(2*time.Second, 2100*time.Millisecond)
	})
}

func TestDifferentLimits(t *testing.T) {
	t.Parallel()
	bubble(t, "the lower holds while its process lives", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		r.o.Limits.SMS = per(2, 2*time.Second)
		b := r.join(false)
		s := a.status("sms")
		if s.Configured != per(5, time.Second) || s.Effective != per(2, 2*time.Second) || s.Processes != 2 {
			t.Errorf("got %+v, want 5 configured, 2/2 effective, 2 processes", s)
		}
		a.take().Responded()
		a.take()
		a.none(1900 * time.Millisecond) // the longer period holds for a's permits too
		a.take()
		b.stop()
		a.take()
		a.take()
		a.take()
		r.within(2*time.Second, 2200*time.Millisecond)
	})
	bubble(t, "a dead process's limit lapses", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		r.o.Limits.SMS = per(1, time.Second)
		b := r.join(false)
		b.cut(true)
		a.take()
		a.take()
		r.within(8*time.Second, 12*time.Second)
	})
	bubble(t, "a changed limit keeps the permits in flight", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		for range 4 {
			a.take()
		}
		a.stop()
		r.o.Limits.SMS = per(3, time.Second)
		b := r.join(false)
		b.none(time.Second)
		if got := b.out(); got != 4 {
			t.Errorf("got %d permits out, want the 4 of before", got)
		}
	})
}

func TestEnd(t *testing.T) {
	t.Parallel()
	bubble(t, "drained: waiters leave, permits go on", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		p := a.take()
		time.AfterFunc(100*time.Millisecond, a.Drain)
		if _, err := a.Take(t.Context(), "sms", "otp"); !errors.Is(err, ratelimit.ErrDraining) {
			t.Errorf("got %v for a waiter, want ErrDraining", err)
		}
		if _, err := a.Take(t.Context(), "sms", "otp"); !errors.Is(err, ratelimit.ErrDraining) {
			t.Errorf("got %v afterwards, want ErrDraining", err)
		}
		p.Responded()
		time.Sleep(1100 * time.Millisecond)
		if got := a.out(); got != 0 {
			t.Errorf("got %d permits out, want 0", got)
		}
	})
	bubble(t, "what cools is handed over to Redis", 2, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.take().Responded()
		a.take() // never concluded: to its lease
		a.stop()
		r.within(0, 10*time.Millisecond)
		b := r.join(false)
		b.take()
		r.within(2250*time.Millisecond, 2500*time.Millisecond) // with the margin for Redis' clock
		b.take()
		r.within(rigLease, rigLease+rigMargin)
	})
	bubble(t, "without Run", 1, func(t *testing.T, r *rig) {
		r.join(true).stop() // the state is there
		rdb := r.client()
		defer rdb.Close()
		l, err := ratelimit.New(rdb, r.o)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			p, err := l.Take(t.Context(), "sms", "bulk")
			if err != nil {
				t.Fatal(err)
			}
			p.Responded()
		}
		r.within(2*time.Second, 2100*time.Millisecond)
		time.Sleep(1100 * time.Millisecond) // nothing of the limiter is left, or the bubble complains
	})
	bubble(t, "twice", 1, func(t *testing.T, r *rig) {
		if err := r.join(true).Run(t.Context()); err == nil {
			t.Error("got no error for a second Run")
		}
	})
}
