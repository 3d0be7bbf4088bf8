package ratelimit_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// Each of these is a sequence of events that would let n+1 attempts into one
// second, or stop the traffic for longer than it must, if one rule were missing.

func bubble(t *testing.T, name string, n int, f func(t *testing.T, r *rig)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { f(t, newRig(t, n)) })
	})
}

func TestHolderDies(t *testing.T) {
	t.Parallel()
	bubble(t, "lease covers window, timeout and period", 1, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.take()
		a.cut(true)
		b.take()
		r.within(rigLease, rigLease+rigMargin)
	})
	bubble(t, "stopped before it writes: the deadline is over when its lease is", 1, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.take()
		a.cut(true)
		b.take()
		if left := time.Until(p.Deadline()); left > -rigLease+r.o.WriteWindow {
			t.Errorf("got a deadline in %v when the next has the permit", left)
		}
		a.cut(false)
		p.Unsent()
		time.Sleep(time.Second)
		if got := b.out(); got != 1 {
			t.Errorf("got %d permits out after a lapsed one came back, want 1", got)
		}
	})
	bubble(t, "a waiter that dies is passed over", 1, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.take()
		go func() { _, _ = a.Take(t.Context(), "sms", "otp") }()
		time.Sleep(50 * time.Millisecond)
		a.cut(true)
		go func() {
			time.Sleep(time.Second)
			a.cut(false)
			p.Unsent()
			a.Drain()
		}()
		b.take()
		r.within(time.Second, 1500*time.Millisecond)
	})
}

func TestStateIsLost(t *testing.T) {
	t.Parallel()
	bubble(t, "phantoms cover window, path and period", 2, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.take()
		a.take()
		a.cut(true)
		r.redis.FlushAll()
		b.take()
		r.within(rigPhantoms, rigPhantoms+rigMargin)
	})
	bubble(t, "a first start waits as well", 5, func(t *testing.T, r *rig) {
		r.join(false).take()
		r.within(rigPhantoms, rigPhantoms+rigMargin)
	})
	bubble(t, "a fresh start does not", 5, func(t *testing.T, r *rig) {
		r.join(true).take()
		r.within(0, 10*time.Millisecond)
	})
	bubble(t, "a fresh start is fresh once", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.take().Unsent()
		time.Sleep(100 * time.Millisecond)
		r.redis.FlushAll()
		a.none(rigPhantoms)
	})
	bubble(t, "a living holder's permit takes the place of a phantom", 1, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.take()
		r.redis.FlushAll()
		go func() {
			time.Sleep(500 * time.Millisecond)
			p.Responded()
		}()
		b.take()
		r.within(1500*time.Millisecond, 1700*time.Millisecond)
	})
	bubble(t, "permits taken during the loss count beside the phantoms' places", 2, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p, q := a.take(), a.take()
		r.redis.FlushAll()
		p.Responded()
		b.take() // p's place; q is still out
		r.within(time.Second, 1300*time.Millisecond)
		b.none(rigPhantoms) // a presented permit is on its lease, not a phantom's
		q.Responded()
		b.take()
	})
	bubble(t, "one set of permits is lost", 1, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.take()
		a.cut(true)
		r.redis.Del("{flowroute}:limit:a:out:sms")
		b.none(rigPhantoms)
		_ = p
	})
	bubble(t, "lost twice while the holder is cut off", 1, func(t *testing.T, r *rig) {
		a, b, c := r.join(true), r.join(false), r.join(false)
		p := a.take()
		p.Written(nil) // no answer: to be given back after 3 s
		a.cut(true)
		r.redis.FlushAll()
		b.take() // when a's phantom is over; b now has the only permit
		b.cut(true)
		time.Sleep(100 * time.Millisecond)
		r.redis.FlushAll()
		c.none(100 * time.Millisecond) // its phantom stands for b's permit
		a.cut(false)
		a.none(rigPhantoms - 500*time.Millisecond) // so a's permit must not take its place
	})
	bubble(t, "returned twice", 2, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		p := a.take()
		a.take()
		r.redis.FlushAll()
		p.Unsent()
		p.Unsent()
		p.Responded()
		b.take()
		b.none(rigPhantoms)
	})
}

func TestCommandIsRepeated(t *testing.T) {
	t.Parallel()
	bubble(t, "twice: one permit", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			_ = send(again(cmd))
			return send(cmd)
		})
		a.take()
		if got := a.out(); got != 1 {
			t.Errorf("got %d permits out, want 1", got)
		}
	})
	bubble(t, "some permits at once, the answer lost: the same ones", 500, func(t *testing.T, r *rig) {
		a := r.join(true)
		lost := errors.New("answer lost")
		first := a.take() // from now on others wait
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			time.Sleep(20 * time.Millisecond)
			_ = send(again(cmd))
			_ = send(cmd)
			cmd.SetErr(lost)
			return lost
		})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { a.take() })
		}
		all.Wait()
		if got := a.out(); got != 21 {
			t.Errorf("got %d permits out, want 21", got)
		}
		first.Unsent()
	})
	bubble(t, "the first arrives when the permit was given back: none", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			late := again(cmd)
			go func() {
				time.Sleep(300 * time.Millisecond)
				_ = send(late)
			}()
			return send(cmd)
		})
		a.take().Unsent()
		time.Sleep(time.Second)
		if got := a.out(); got != 0 {
			t.Errorf("got %d permits out, want 0", got)
		}
	})
	for name, asks := range map[string]time.Duration{
		"the first arrives after the next question: none":           400 * time.Millisecond,
		"the first arrives when nobody asks any more: none, either": 50 * time.Millisecond,
	} {
		bubble(t, name, 1, func(t *testing.T, r *rig) {
			a, b := r.join(true), r.join(false)
			p := a.take()
			b.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
				late := again(cmd)
				go func() {
					time.Sleep(950 * time.Millisecond) // grants are no longer spread, and the clock is still believed
					_ = send(late)
				}()
				return send(cmd)
			})
			b.none(asks)
			p.Unsent()
			time.Sleep(1200 * time.Millisecond)
			if got := a.out(); got != 0 {
				t.Errorf("got %d permits out, want 0", got)
			}
		})
	}
	bubble(t, "granted, answer lost: the same permit, its deadline from the first question", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		lost := errors.New("answer lost")
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			_ = send(cmd)
			a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
				time.Sleep(400 * time.Millisecond)
				return send(cmd)
			})
			cmd.SetErr(lost)
			return lost
		})
		p := a.take()
		if got, most := p.Deadline().Sub(r.start), r.o.WriteWindow+10*time.Millisecond; got > most {
			t.Errorf("got a deadline after %v, want at most %v", got, most)
		}
		if got := a.out(); got != 1 {
			t.Errorf("got %d permits out, want 1", got)
		}
	})
	bubble(t, "granted, answer lost, the next question late", 1, func(t *testing.T, r *rig) {
		r.o.WriteWindow = 6 * time.Second
		a := r.join(true)
		lost := errors.New("answer lost")
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			_ = send(cmd)
			a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
				time.Sleep(1500 * time.Millisecond) // beyond what Redis' clock is believed
				return send(cmd)
			})
			cmd.SetErr(lost)
			return lost
		})
		p := a.take()
		if got, most := p.Deadline().Sub(r.start), r.o.WriteWindow+10*time.Millisecond; got > most {
			t.Errorf("got a deadline after %v, want at most %v", got, most)
		}
	})
	bubble(t, "granted, but Redis took half of the window: another one", 5, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.twist(func(cmd redis.Cmder, send func(redis.Cmder) error) error {
			err := send(cmd)
			time.Sleep(600 * time.Millisecond)
			return err
		})
		p := a.take()
		if got := time.Until(p.Deadline()); got < r.o.WriteWindow/2 {
			t.Errorf("got %v until the deadline, want at least %v", got, r.o.WriteWindow/2)
		}
		time.Sleep(100 * time.Millisecond)
		if got := a.out(); got != 1 {
			t.Errorf("got %d permits out, want 1", got)
		}
	})
}

func TestRedisClockJumps(t *testing.T) {
	t.Parallel()
	// The in-process Redis stands still at a set time: set it for every command.
	jump := func(r *rig, by time.Duration) func() {
		synctest.Wait()
		stop := make(chan struct{})
		go func() {
			for {
				r.redis.SetTime(time.Now().Add(by))
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		return func() { close(stop) }
	}
	bubble(t, "forward, and nobody who knew the time before is left", 1, func(t *testing.T, r *rig) {
		a := r.join(true)
		a.take()
		a.cut(true)
		time.Sleep(time.Second)
		defer jump(r, 10*time.Minute)()
		time.Sleep(10 * time.Millisecond)
		r.join(false).take()
		r.within(rigLease, rigLease+time.Second+rigMargin)
	})
	bubble(t, "forward, before the eyes of a process: all permits are out", 2, func(t *testing.T, r *rig) {
		a, b := r.join(true), r.join(false)
		a.take()
		a.cut(true)
		defer jump(r, 10*time.Minute)()
		time.Sleep(10 * time.Millisecond)
		b.none(rigPhantoms)
		b.take()
		r.within(rigPhantoms, rigPhantoms+rigMargin+100*time.Millisecond)
	})
	bubble(t, "backward: all permits are out, and come back", 1, func(t *testing.T, r *rig) {
		b := r.join(true)
		b.take().Unsent()
		defer jump(r, -10*time.Minute)()
		time.Sleep(10 * time.Millisecond)
		b.none(rigPhantoms)
		b.take()
		r.within(rigPhantoms, rigPhantoms+rigMargin+100*time.Millisecond)
	})
	bubble(t, "by less than a second: nothing", 1, func(t *testing.T, r *rig) {
		b := r.join(true)
		b.take().Unsent()
		defer jump(r, 900*time.Millisecond)()
		time.Sleep(10 * time.Millisecond)
		b.take()
		r.within(0, 50*time.Millisecond)
	})
}
