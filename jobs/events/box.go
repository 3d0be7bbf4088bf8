package events

import (
	"context"
	"log/slog"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/courier"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// box gives the courier the changes after the place it has come to, in batches.
type box struct {
	s    *Sender
	at   ID             // what the receiver has
	left []ledger.Event // of the page that was read last
	gap  *Gap           // before them
	next ID             // where the page ends
	more bool           // there was more when it was read

	leave func()  // the feed
	last  message // what was given out
	began time.Time
	bell  <-chan struct{}
}

// Open implements [courier.Box].
func (b *box) Open(ctx context.Context) error {
	at, err := b.s.start(ctx)
	if err != nil {
		return err
	}
	b.s.o.Logger.InfoContext(ctx, "webhook goes on", slog.String("after", at.String()))
	*b = box{s: b.s, at: at, next: at, more: true, leave: b.s.feed.Join(ctx)}
	return nil
}

// Close implements [courier.Box].
func (b *box) Close() {
	if b.leave != nil {
		b.leave()
	}
	b.leave = nil
}

// Next implements [courier.Box].
func (b *box) Next(ctx context.Context) (courier.Message, error) {
	for len(b.left) == 0 {
		if b.next != b.at { // the stream is empty now
			if err := b.s.note(ctx, b.at, b.next); err != nil {
				return courier.Message{}, err
			}
			b.at = b.next
		}
		if !b.more && !b.wait(ctx) {
			return courier.Message{}, ctx.Err()
		}
		if err := b.read(ctx); err != nil {
			return courier.Message{}, err
		}
	}
	var err error
	b.last, err = newMessage(b.left[:min(batchSize, len(b.left))], b.gap)
	return courier.Message{ID: b.last.id, Body: b.last.body, ContentType: "application/json"}, err
}

// read takes the next page.
func (b *box) read(ctx context.Context) error {
	b.began, b.bell = time.Now(), b.s.feed.Changed()
	page, err := b.s.feed.Page(ctx, b.at)
	if err != nil {
		return err
	}
	if page.Gap != nil {
		b.s.metrics.gaps.WithLabelValues(page.Gap.Reason).Inc()
		b.s.o.Logger.WarnContext(ctx, "changes were gone before the webhook had them", slog.String("reason", page.Gap.Reason),
			slog.String("after", page.Gap.After), slog.String("oldest", page.Gap.Oldest))
	}
	b.left, b.gap, b.next, b.more = page.Events, page.Gap, page.Next, page.More
	return nil
}

// wait returns when there may be more, and not before some could gather; false when
// ctx ended.
func (b *box) wait(ctx context.Context) bool {
	timer := time.NewTimer(lookAnyway)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-b.bell:
		return courier.Pause(ctx, b.s.o.Gather-time.Since(b.began))
	case <-timer.C:
		return true
	}
}

// Taken implements [courier.Box].
func (b *box) Taken(ctx context.Context, _ courier.Message) error {
	b.s.metrics.delivered.Add(float64(b.last.size))
	if err := b.s.note(ctx, b.at, b.last.last); err != nil {
		return err
	}
	b.at, b.gap, b.left = b.last.last, nil, b.left[b.last.size:]
	return nil
}

// PassOver implements [courier.Box]: it does not come to that.
func (b *box) PassOver(context.Context, courier.Message) error { return nil }
