package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// Options of a client. The zero value is the documented default. Prefix,
// Retention and EventsMax must be those of the workers.
type Options struct {
	Prefix    string        // of the ledger's keys. Defaults to [ledger.DefaultPrefix].
	Retention time.Duration // how long final jobs stay. Defaults to 720 h.
	EventsMax int64         // length of the event stream, about. Defaults to 1,000,000.
	// Durable: a job counts as taken when Redis has it on its disk (WAITAOF, Redis 7.2
	// or newer, with an append-only file); until then calls end with [ErrUnconfirmed].
	Durable bool
	// OptOutsOfPair makes an opt-out block the number of ours that it is of, and no other.
	// Defaults to it blocking all of them, as for the workers.
	OptOutsOfPair bool
	// Senders finds those of some sending numbers that are not the account's, and says of
	// each what to do; messages from them are refused. It is asked once for many messages
	// and should answer from memory; when it fails, all pass. An [inventory.Senders] does
	// it by the stored copy of the account's numbers. Defaults to none: all pass.
	//
	// [inventory.Senders]: https://pkg.go.dev/github.com/flowroute-worker/flowroute-worker/jobs/inventory#Senders
	Senders func(ctx context.Context, from []flowroute.E164) (refused map[flowroute.E164]string, err error)
	// Patience is how long a call goes on when Redis fails, counted from its
	// first error. Defaults to 5 s; negative is none.
	Patience time.Duration
	Logger   *slog.Logger // Defaults to none.
}

const defaultRetention = 720 * time.Hour

// Client asks for jobs and looks them up. It is safe for concurrent use; make one
// and keep it.
type Client struct {
	ledger    *ledger.Ledger
	rdb       redis.UniversalClient
	asynq     *asynq.Client
	noting    *asynq.Client // notes down what it would enqueue
	bell      *bell
	optOuts   suppress.Checker
	senders   func(context.Context, []flowroute.E164) (map[flowroute.E164]string, error) // nil: all pass
	retention time.Duration
	patience  time.Duration
	log       *slog.Logger
}

// NewClient makes a client on rdb, which stays the caller's to close. For calls
// that end with their context whatever Redis does, rdb needs
// ContextTimeoutEnabled; without it, go-redis' own timeouts hold.
func NewClient(rdb redis.UniversalClient, o Options) (*Client, error) {
	if rdb == nil {
		return nil, errors.New("jobs: no redis client")
	}
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	led, err := ledger.New(rdb, ledger.Options{Prefix: o.Prefix, Retention: o.Retention, EventsMax: o.EventsMax, Durable: o.Durable})
	if err != nil {
		return nil, err
	}
	optOuts, err := suppress.New(rdb, suppress.Options{Prefix: o.Prefix, PairOnly: o.OptOutsOfPair})
	if err != nil {
		return nil, err
	}
	c := &Client{ledger: led, optOuts: optOuts, senders: o.Senders, rdb: rdb, asynq: asynq.NewClientFromRedisClient(rdb), noting: asynq.NewClientFromRedisClient(noting{rdb}), bell: newBell(rdb, o.Prefix), retention: o.Retention, patience: o.Patience, log: o.Logger}
	if c.patience == 0 {
		c.patience = 5 * time.Second
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Ledger is the record of every job, for what this client does not offer.
func (c *Client) Ledger() *ledger.Ledger { return c.ledger }

// Send asks for one message. Errors: [*ValidationError], [ErrConflict],
// [ErrUnconfirmed], or ctx's when it had ended before.
func (c *Client) Send(ctx context.Context, m Message) (Receipt, error) {
	receipts, errs := c.SendMany(ctx, []Message{m})
	return receipts[0], errs[0]
}

// chunkSize is how many jobs go to Redis at once: enough to hide the way there
// and back, few enough not to make others wait for their scripts (some 10 ms).
const chunkSize = 500

// SendMany asks for many messages at a fraction of the cost of one by one. Each
// has a receipt or an error, as [Client.Send]'s, at its place in the two answers.
// When Redis stays away the rest is not tried, which its errors say.
func (c *Client) SendMany(ctx context.Context, messages []Message) ([]Receipt, []error) {
	s := c.Stream()
	defer s.Wait()
	return s.SendMany(ctx, messages)
}

// sendAllDelay bounds how long [Client.SendAll] collects from a slow source.
const sendAllDelay = 200 * time.Millisecond

// SendAll asks for a stream of messages and yields what [Client.Send] would, one
// result a message, in order. It collects up to 500 messages at a time, so a
// source that may block for long should use Send. Stopping early leaves what was
// collected before asked for. The end of ctx ends it with ctx's error.
func (c *Client) SendAll(ctx context.Context, messages iter.Seq[Message]) iter.Seq2[Receipt, error] {
	return func(yield func(Receipt, error) bool) {
		stream := c.Stream()
		defer stream.Wait()
		chunk, since := make([]Message, 0, chunkSize), time.Time{}
		flush := func() bool {
			receipts, errs := stream.SendMany(ctx, chunk)
			chunk = chunk[:0]
			for i := range receipts {
				if !yield(receipts[i], errs[i]) {
					return false
				}
			}
			return true
		}
		for m := range messages {
			if ctx.Err() != nil {
				yield(Receipt{}, fmt.Errorf("send message: not tried: %w", ctx.Err()))
				return
			}
			if len(chunk) == 0 {
				since = time.Now()
			}
			chunk = append(chunk, m)
			if (len(chunk) == chunkSize || time.Since(since) > sendAllDelay) && !flush() {
				return
			}
		}
		flush()
	}
}

// Purchase asks for a number to be bought. Errors: as [Client.Send]'s.
func (c *Client) Purchase(ctx context.Context, p Purchase) (Receipt, error) {
	d := door{now: time.Now()}
	return c.one(ctx, "purchase number", d.draft(p.plan(&d), p.Key))
}

// UpdateRoute asks for routes of a number to be set. Errors: as [Client.Send]'s.
func (c *Client) UpdateRoute(ctx context.Context, u RouteUpdate) (Receipt, error) {
	d := door{now: time.Now()}
	return c.one(ctx, "update route", d.draft(u.plan(&d), u.Key))
}

// StartSync asks for one run of a sync, of type [TypeSyncMDR], [TypeSyncNumbers]
// or [TypeReconcile]. The same key is the same run, so that of several schedulers
// each tick makes one. Errors: as [Client.Send]'s.
func (c *Client) StartSync(ctx context.Context, t ledger.Type, key string, s Sync) (Receipt, error) {
	if !isSync(t) {
		return Receipt{}, fmt.Errorf("start sync: %q is no sync", t)
	}
	d := door{now: time.Now()}
	return c.one(ctx, "start sync", d.draft(s.plan(&d, t, key), key))
}

func (c *Client) one(ctx context.Context, op string, job draft) (Receipt, error) {
	drafts := []draft{job}
	_ = c.enqueue(ctx, drafts)
	return drafts[0].receipt, wrap(op, drafts[0].err)
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}
