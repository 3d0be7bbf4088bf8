package ratelimit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

func TestCapPerDay(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("whose midnight comes soon", 24*60*60-10) // a bubble starts at midnight UTC
	daily := func(n int) ratelimit.Cap { return ratelimit.Cap{Name: "from:1", PerDay: n, Zone: zone} }
	spent := func(t *testing.T, p *party, c ratelimit.Cap) {
		t.Helper()
		_, err := p.Take(t.Context(), "sms", "bulk", c)
		used, ok := errors.AsType[*ratelimit.CapError](err)
		if !ok || !errors.Is(err, ratelimit.ErrCapUsedUp) {
			t.Fatalf("got %v, want a CapError", err)
		}
		y, m, d := time.Now().In(zone).Date()
		if want := time.Date(y, m, d+1, 0, 0, 0, 0, zone); used.Cap != c.Name || !used.Until.Equal(want) {
			t.Errorf("got %+v, want %s until %v", used, c.Name, want)
		}
	}
	bubble(t, "used up: no waiting, and again after midnight in its zone", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		for range 3 {
			a.send("bulk", daily(5)).Responded()
		}
		for range 2 {
			b.send("bulk", daily(5)).Responded()
		}
		before := time.Now()
		spent(t, a, daily(5))
		spent(t, b, daily(5))
		b.send("bulk", from("2", 1)).Responded()
		if took := time.Since(before); took > 100*time.Millisecond {
			t.Errorf("got answers after %v, want them at once", took)
		}
		y, m, d := time.Now().In(zone).Date()
		time.Sleep(time.Until(time.Date(y, m, d+1, 0, 0, 0, 0, zone)) - time.Second)
		spent(t, a, daily(5))
		time.Sleep(1100 * time.Millisecond)
		for range 5 {
			b.send("bulk", daily(5)).Responded()
		}
		spent(t, a, daily(5))
	})
	bubble(t, "used up while the account has nothing to give", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.send("bulk", daily(1))
		spent(t, a, daily(1))
		r.within(0, 10*time.Millisecond)
	})
	bubble(t, "unsent: it does not count, once", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		p := a.send("bulk", daily(2))
		q := a.send("bulk", daily(2))
		p.Unsent()
		p.Unsent()
		time.Sleep(10 * time.Millisecond)
		a.send("bulk", daily(2)).Written(nil)
		q.Responded()
		time.Sleep(5 * time.Second)
		spent(t, a, daily(2))
	})
	bubble(t, "repeated, the answer lost, called again: it counts once", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		lost := errors.New("answer lost")
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			_ = send(again(cmd))
			_ = send(cmd)
			cmd.SetErr(lost)
			return lost
		})
		a.send("bulk", daily(2)).Responded()
		a.send("bulk", daily(2)).Responded()
		spent(t, a, daily(2))
	})
	bubble(t, "the lower number counts for all", 50, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		for range 3 {
			a.send("bulk", daily(5))
		}
		b.send("bulk", daily(4))
		spent(t, a, daily(5))
	})
	bubble(t, "beside a rate, those who wait hear of it", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		c := from("1", 1)
		c.PerDay = 2
		a.send("bulk", c).Responded()
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() {
				p, err := a.Take(t.Context(), "sms", "bulk", c)
				if err == nil {
					p.Responded()
				}
				errs <- err
			}()
		}
		var used int
		for range cap(errs) {
			if err := <-errs; errors.Is(err, ratelimit.ErrCapUsedUp) {
				used++
			}
		}
		if used != 2 {
			t.Errorf("got %d told that the day is used up, want 2", used)
		}
		r.within(time.Second, 1200*time.Millisecond)
	})
	bubble(t, "what is refused as a cap", 50, func(t *testing.T, r *rig) {
		a := r.join(true)
		for name, caps := range map[string][]ratelimit.Cap{
			"no name": {{Rate: per(1, time.Second)}}, "space": {from("1 2", 1)}, "negative": {{Name: "x", PerDay: -1}},
			"rate": {{Name: "x", Rate: per(1, 0)}}, "twice": {from("1", 1), from("1", 2)},
		} {
			if _, err := a.Take(t.Context(), "sms", "bulk", caps...); err == nil {
				t.Errorf("%s: got a permit", name)
			}
		}
		a.send("bulk", ratelimit.Cap{Name: "allows everything"})
		if left := r.left(); len(left) > 0 {
			t.Errorf("got %v, want nothing kept of a cap that allows everything", left)
		}
	})
}
