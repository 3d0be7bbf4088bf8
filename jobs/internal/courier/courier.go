// Package courier posts what waits in a box to one address over HTTP: by one process
// at a time, one message after the other, each again until it is taken.
//
// # Guarantees
//
//   - A message is noted as taken only after the receiver has answered with a 2xx: it
//     is posted at least once. A crash between the two repeats that one message.
//   - Messages go in the order in which the box gives them. With [Options.Tries] one
//     that is not taken is passed over after so many tries, for the box to give again
//     later: so it does not hold up the others for ever.
//   - No redirect is followed. No error and no line of the log holds the address.
//
// A process that was stopped in the middle of a post for longer than its lease may
// post the message once more beside another process.
package courier

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
)

// Message is what is posted.
type Message struct {
	ID          string
	Body        []byte
	ContentType string // empty: none
	// Once: it was passed over before; after one try it is passed over again.
	Once bool
}

// Box is where a courier takes its messages from. It is used by one goroutine at a
// time, under the lease; an error ends the turn, and after a rest the next begins
// with Open.
type Box interface {
	// Open is the beginning of a turn, and Close its end; also of one that Open failed for.
	Open(ctx context.Context) error
	Close()
	// Next waits for the next message. It returns ctx's error when ctx ends.
	Next(ctx context.Context) (Message, error)
	// Taken notes that the receiver has the message that Next gave last. Its ctx lives
	// on for a moment when the courier is stopped.
	Taken(ctx context.Context, m Message) error
	// PassOver is told that it has not taken it; only with [Options.Tries].
	PassOver(ctx context.Context, m Message) error
}

// Results of a post.
const (
	Taken   = "taken"
	Refused = "refused" // an answer that is no 2xx
	Failed  = "failed"  // no answer
)

// Results lists them.
func Results() []string { return []string{Taken, Refused, Failed} }

// Options of a [Courier]. The first four are needed.
type Options struct {
	Redis redis.UniversalClient // one that keeps to deadlines
	Lease string                // the key of the lease
	Box   Box
	URL   string // http or https; user and password in it are used

	// Dress adds headers to a post. Defaults to none.
	Dress func(h http.Header, m Message, now time.Time)
	// Posted is told of each post, with one of [Results]. Defaults to nobody.
	Posted func(result string)
	// Tries is how often a message is posted that the receiver refuses before it is
	// passed over; four times as often when there is no answer, or one that says that
	// nothing can be taken at the moment. Defaults to no end.
	Tries int

	Timeout   time.Duration // of one post. Defaults to 10 s.
	LastCall  time.Duration // that a post may still take at a stop. Defaults to 2 s.
	LeaseTTL  time.Duration // how long a dead process keeps others out. Defaults to 15 s.
	MinPause  time.Duration // before the second try; it doubles until one is taken. Defaults to 1 s.
	MaxPause  time.Duration // between two tries. Defaults to 1 min.
	UserAgent string        // Defaults to flowroute-worker.
	Logger    *slog.Logger  // Defaults to none.
}

// ErrAddress says that an address is no URL to post to; it does not show it.
var ErrAddress = errors.New("the address must be an http or https URL")

const (
	// rest is how long nothing is done after an error of Redis.
	rest = time.Second
	// notePatience bounds the noting of what was taken.
	notePatience = 2 * time.Second
	// sayAgain is how often a warning is given while Redis is away.
	sayAgain = time.Minute
)

// Courier posts. Any number of processes may have one with the same lease; one of
// them posts.
type Courier struct {
	o      Options
	client *http.Client
	pause  time.Duration // before the next try; the receiver's, not a message's
}

// New checks the options; nothing is posted yet. Errors: [ErrAddress].
func New(o Options) (*Courier, error) {
	if o.Redis == nil || o.Lease == "" || o.Box == nil {
		return nil, errors.New("courier: needs Redis, a lease and a box")
	}
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, ErrAddress
	}
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.LastCall = cmp.Or(o.LastCall, 2*time.Second)
	o.LeaseTTL = cmp.Or(o.LeaseTTL, 15*time.Second)
	o.MinPause = cmp.Or(o.MinPause, time.Second)
	o.MaxPause = cmp.Or(o.MaxPause, time.Minute)
	o.UserAgent = cmp.Or(o.UserAgent, "flowroute-worker")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Posted == nil {
		o.Posted = func(string) {}
	}
	return &Courier{o: o, client: newHTTPClient(o.Timeout), pause: o.MinPause}, nil
}

// Run posts while no other process does, until ctx ends, which is no error. It rides
// out errors of Redis and of the receiver.
func (c *Courier) Run(ctx context.Context) error {
	defer c.client.CloseIdleConnections()
	var said time.Time
	for ctx.Err() == nil {
		err := lease.Hold(ctx, c.o.Redis, c.o.Lease, lease.Options{TTL: c.o.LeaseTTL, Wait: true}, c.turn)
		if ctx.Err() != nil {
			break
		}
		level := slog.LevelDebug
		if time.Since(said) > sayAgain {
			level, said = slog.LevelWarn, time.Now()
		}
		c.o.Logger.Log(ctx, level, "webhook interrupted", slog.Any("err", err))
		Pause(ctx, rest)
	}
	return nil
}

// turn posts message after message, under the lease.
func (c *Courier) turn(ctx context.Context) error {
	defer c.o.Box.Close()
	if err := c.o.Box.Open(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		m, err := c.o.Box.Next(ctx)
		if err != nil {
			return err
		}
		taken, err := c.insist(ctx, m)
		if err != nil {
			return err
		}
		if err := c.note(ctx, m, taken); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// note tells the box, also while the courier is being stopped.
func (c *Courier) note(ctx context.Context, m Message, taken bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notePatience)
	defer cancel()
	if taken {
		return c.o.Box.Taken(ctx, m)
	}
	return c.o.Box.PassOver(ctx, m)
}

// insist posts until the receiver has taken it, ctx ends, or it has been tried often
// enough.
func (c *Courier) insist(ctx context.Context, m Message) (taken bool, err error) {
	worth := 0
	for try := 1; ; try++ {
		err := c.try(ctx, m)
		if err == nil {
			if c.pause > c.o.MinPause {
				c.o.Logger.InfoContext(ctx, "webhook taken again", slog.Int("attempt", try))
			}
			c.pause = c.o.MinPause
			return true, nil
		}
		if ctx.Err() != nil {
			return false, err
		}
		// Not all senders of a receiver that comes back at the same moment.
		wait := c.pause/2 + rand.N(c.pause/2+1)
		c.pause = min(2*c.pause, c.o.MaxPause)
		refusal, answered := errors.AsType[*refusal](err)
		if answered {
			wait = max(wait, refusal.after)
		}
		worth += worthOf(refusal)
		pass := c.o.Tries > 0 && (m.Once || worth >= c.o.Tries*oneTry)
		c.o.Logger.WarnContext(ctx, "webhook not taken", slog.Any("err", err), slog.Int("attempt", try),
			slog.Int64("retry_after_ms", wait.Milliseconds()), slog.Bool("passed_over", pass))
		if !Pause(ctx, wait) {
			return false, ctx.Err()
		}
		if pass {
			return false, nil
		}
	}
}

// oneTry is what a refusal counts; see [Options.Tries].
const oneTry = 4

// worthOf weighs a try: how much it says of the message, not of the receiver.
func worthOf(r *refusal) int {
	if r == nil {
		return 1
	}
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 1
	}
	return oneTry
}

// try posts once. A stop leaves the post a moment to end, so that it need not be
// repeated; the loss of the lease does not, since another process may be posting.
func (c *Courier) try(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	posting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopped := context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), lease.ErrLost) {
			Pause(posting, c.o.LastCall)
		}
		cancel()
	})
	defer stopped()
	err := c.post(posting, m)
	switch _, answered := errors.AsType[*refusal](err); {
	case err == nil:
		c.o.Posted(Taken)
	case answered:
		c.o.Posted(Refused)
	default:
		c.o.Posted(Failed)
	}
	return err
}

// Pause waits for d; false when ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
