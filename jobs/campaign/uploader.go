package campaign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// defaultUploadTTL is long enough for a Redis that is away for a moment.
const defaultUploadTTL = 15 * time.Second

// uploader is an upload that wants to be the only one of its campaign. All its times are
// parts of the lease, so that they stay in proportion.
type uploader struct {
	store   *Store
	id      ledger.ID
	ttl     time.Duration
	waiting func() error // nil: nobody is told
	giveUp  time.Time
}

func (s *Store) uploader(id ledger.ID, waiting func() error) *uploader {
	ttl := s.o.UploadTTL
	return &uploader{store: s, id: id, ttl: ttl, waiting: waiting, giveUp: time.Now().Add(ttl + ttl/3)}
}

// hold runs work while no other upload adds to the campaign. One that died is in the way
// until its lease lapses, which is waited for; one that lives is [ErrBusy].
func (u *uploader) hold(ctx context.Context, work func(context.Context) error) error {
	for began := false; ; {
		err := lease.Hold(ctx, u.store.rdb, u.store.keys.uploader(u.id), lease.Options{TTL: u.ttl}, func(ctx context.Context) error {
			began = true
			return work(ctx)
		})
		if began || !errors.Is(err, lease.ErrHeld) {
			return err
		}
		if err := u.await(ctx); err != nil {
			return err
		}
	}
}

// await returns when the lease is free. Only a renewal tells a holder that lives from one
// that died, and it may take a third of the lease to come. One that is about to end, since
// its client has just gone away, is given a moment even if it was renewed.
func (u *uploader) await(ctx context.Context) error {
	began, before, alive := time.Now(), leaseSign{}, false
	for {
		now, err := u.look(ctx)
		switch {
		case err != nil:
			return err
		case now.holder == "":
			return nil
		case now.holder != before.holder:
			alive = false
		case now.left > before.left:
			alive = true
		}
		if alive && time.Since(began) > u.ttl/15 || time.Now().After(u.giveUp) {
			return ErrBusy
		}
		before = now
		if u.waiting != nil {
			if err := u.waiting(); err != nil {
				return err
			}
		}
		timer := time.NewTimer(u.ttl / 60)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// leaseSign is what can be seen of who holds a lease.
type leaseSign struct {
	holder string // empty: nobody
	left   time.Duration
}

func (u *uploader) look(ctx context.Context) (leaseSign, error) {
	key := u.store.keys.uploader(u.id)
	pipe := u.store.rdb.Pipeline()
	holder, left := pipe.Get(ctx, key), pipe.PTTL(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return leaseSign{}, fmt.Errorf("look at the other upload: %w", err)
	}
	return leaseSign{holder.Val(), left.Val()}, nil
}
