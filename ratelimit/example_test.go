package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Two messages and a look-up by an account that may send five a second.
func Example() {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer rdb.Close()

	sms, err := ratelimit.ParseRate("5")
	if err != nil {
		panic(err)
	}
	l, err := ratelimit.New(rdb, ratelimit.Options{
		Account:    "fr-0123456789abcdef",
		Limits:     ratelimit.Limits{SMS: sms, LookupsShareSMS: true},
		FreshStart: true, // this Redis has just been started, nobody else uses it
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()

	for _, message := range []struct {
		kind ratelimit.Kind
		lane ratelimit.Lane
	}{
		{ratelimit.KindSMS, ratelimit.LaneOTP},
		{ratelimit.KindSMS, ratelimit.LaneBulk},
		{ratelimit.KindLookup, ratelimit.LaneResolve},
	} {
		p, err := l.Take(ctx, message.kind, message.lane)
		if err != nil {
			panic(err)
		}
		if time.Now().After(p.Deadline()) {
			p.Unsent() // too late to send: the permit is back at once
			continue
		}
		// Here the request is sent and answered.
		p.Responded() // the permit is back in one second
	}

	limits, err := l.Status(ctx)
	if err != nil {
		panic(err)
	}
	for _, s := range limits {
		fmt.Printf("%s: %d of %v out\n", s.Name, s.Out, s.Effective)
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// sms: 3 of 5 out
	// <nil>
}

// A sender that may send once per second and twice a day.
func ExampleCap() {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer rdb.Close()
	l, err := ratelimit.New(rdb, ratelimit.Options{Account: "fr-0123456789abcdef", FreshStart: true,
		Limits: ratelimit.Limits{SMS: ratelimit.Rate{N: 5, Per: time.Second}}})
	if err != nil {
		panic(err)
	}
	sender := ratelimit.Cap{Name: "from:12065550100", Rate: ratelimit.Rate{N: 1, Per: time.Second}, PerDay: 2}
	for range 3 {
		p, err := l.Take(context.Background(), ratelimit.KindSMS, ratelimit.LaneNormal, sender)
		if errors.Is(err, ratelimit.ErrCapUsedUp) {
			fmt.Println("no more today")
			continue
		}
		if err != nil {
			panic(err)
		}
		p.Responded()
		fmt.Println("sent")
	}
	// Output:
	// sent
	// sent
	// no more today
}

func ExampleParseRate() {
	for _, text := range []string{"5", "5/2", "0.5", "2.5/s", "0"} {
		r, err := ratelimit.ParseRate(text)
		fmt.Println(r.N, r.Per, err)
	}
	// Output:
	// 5 1s <nil>
	// 5 2s <nil>
	// 1 2s <nil>
	// 5 2s <nil>
	// 0 0s <nil>
}
