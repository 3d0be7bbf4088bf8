package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/courier"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// pageSize is what the ledger reads at once.
	pageSize = 500
	// pagePatience bounds the reading of a page, of changes that are known to be there.
	pagePatience = 2 * time.Second
	// rest is how long a follower waits after an error of Redis.
	rest = time.Second
)

// FeedOptions of a feed. Redis and Ledger are needed.
type FeedOptions struct {
	Redis  redis.UniversalClient // one that keeps to deadlines
	Ledger *ledger.Ledger        // with the same prefix
	Prefix string                // Defaults to [ledger.DefaultPrefix].
	Logger *slog.Logger          // Defaults to none.
}

// Feed reads the stream of changes for any number of readers of this process. It is
// safe for concurrent use.
type Feed struct {
	o FeedOptions

	mu      sync.Mutex
	readers int
	stop    context.CancelFunc
	ended   chan struct{}
	bell    chan struct{} // closed at the next change
}

// NewFeed makes a feed; nothing runs before somebody joins.
func NewFeed(o FeedOptions) (*Feed, error) {
	if o.Redis == nil || o.Ledger == nil {
		return nil, errors.New("events: a feed needs Redis and Ledger")
	}
	if o.Prefix == "" {
		o.Prefix = ledger.DefaultPrefix
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Feed{o: o, bell: make(chan struct{})}, nil
}

// Join makes the feed follow the stream, so that [Feed.Changed] tells of changes,
// until leave is called. The last one who leaves waits for the following to end, a
// second at most.
func (f *Feed) Join(ctx context.Context) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers++; f.readers == 1 {
		// It is for all readers: it ends with the last, not with the first.
		var follow context.Context
		follow, f.stop = context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan struct{})
		f.ended = ended
		go func() {
			defer close(ended)
			f.follow(follow)
		}()
	}
	return sync.OnceFunc(f.leave)
}

func (f *Feed) leave() {
	f.mu.Lock()
	ended := f.ended
	f.readers--
	last := f.readers == 0
	if last {
		f.stop()
	}
	f.mu.Unlock()
	if last {
		<-ended
	}
}

// Changed is closed when the stream may hold more than before the call. Take it
// before reading a page, or a change that comes between the two is told late.
func (f *Feed) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bell
}

func (f *Feed) ring() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.bell)
	f.bell = make(chan struct{})
}

// follow rings at each change until ctx ends.
func (f *Feed) follow(ctx context.Context) {
	for ctx.Err() == nil {
		newest, err := f.Newest(ctx)
		if err == nil {
			f.ring() // what came before is for the readers to find
			err = f.ringAfter(ctx, newest)
		}
		if ctx.Err() == nil {
			f.o.Logger.DebugContext(ctx, "events not followed", slog.Any("err", err))
			courier.Pause(ctx, rest)
		}
	}
}

func (f *Feed) ringAfter(ctx context.Context, after ID) error {
	for _, err := range f.o.Ledger.Events(ctx, after.String()) {
		if err != nil {
			return err
		}
		f.ring()
	}
	return nil
}

// Newest is the place of the latest change; zero when there is none.
func (f *Feed) Newest(ctx context.Context) (ID, error) {
	last, err := f.o.Redis.XRevRangeN(ctx, keyStream(f.o.Prefix), "+", "-", 1).Result()
	return placeOf(last, err)
}

// oldest is the place of the first change that is kept; zero when there is none.
func (f *Feed) oldest(ctx context.Context) (ID, error) {
	first, err := f.o.Redis.XRangeN(ctx, keyStream(f.o.Prefix), "-", "+", 1).Result()
	return placeOf(first, err)
}

func placeOf(entries []redis.XMessage, err error) (ID, error) {
	if err != nil {
		return ID{}, fmt.Errorf("read events: %w", err)
	}
	if len(entries) == 0 {
		return ID{}, nil
	}
	id, ok := ParseID(entries[0].ID)
	if !ok {
		return ID{}, fmt.Errorf("read events: Redis gave the id %.40q", entries[0].ID)
	}
	return id, nil
}

// Page is what comes after a place, up to 500 changes.
type Page struct {
	Events []ledger.Event
	Gap    *Gap // not nil: what is missing before the first one
	Next   ID   // go on after it
	More   bool // there was more when it was read
}

// Page reads what comes after a place, without waiting for it to happen.
func (f *Feed) Page(ctx context.Context, after ID) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, pagePatience)
	defer cancel()
	newest, err := f.Newest(ctx)
	if err != nil || newest == after {
		return Page{Next: after}, err
	}
	page := Page{Next: after}
	ahead := newest.Compare(after) < 0
	if ahead {
		page.Next = ID{}
	}
	if !newest.IsZero() {
		if err := f.fill(ctx, &page, newest); err != nil {
			return Page{Next: after}, err
		}
	}
	page.Gap, err = f.gap(ctx, after, ahead)
	if err != nil {
		return Page{Next: after}, err
	}
	page.More = page.Next.Compare(newest) < 0
	return page, nil
}

// fill reads up to the newest change that is known, and so never waits.
func (f *Feed) fill(ctx context.Context, page *Page, newest ID) error {
	for event, err := range f.o.Ledger.Events(ctx, page.Next.String()) {
		if err != nil {
			if len(page.Events) > 0 && errors.Is(err, context.DeadlineExceeded) {
				return nil // the newest is of a version that this process cannot read
			}
			return err
		}
		id, ok := ParseID(event.ID)
		if !ok {
			return fmt.Errorf("read events: Redis gave the id %.40q", event.ID)
		}
		page.Events, page.Next = append(page.Events, event), id
		if len(page.Events) == pageSize || id.Compare(newest) >= 0 {
			return nil
		}
	}
	return nil
}

// gap is asked for after the reading: what was kept from the place on by then was
// there when it was read.
func (f *Feed) gap(ctx context.Context, after ID, ahead bool) (*Gap, error) {
	if after.IsZero() {
		return nil, nil // whoever asks for all there is misses nothing
	}
	oldest, err := f.oldest(ctx)
	switch {
	case err != nil:
		return nil, err
	case ahead:
		return &Gap{After: after.String(), Oldest: oldest.String(), Reason: Ahead}, nil
	case oldest.Compare(after) > 0:
		return &Gap{After: after.String(), Oldest: oldest.String(), Reason: Trimmed}, nil
	}
	return nil, nil
}
