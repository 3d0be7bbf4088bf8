package inventory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

const batchSize = 200

func (r *run) listNumbers(ctx context.Context) error {
	n, err := listAll(ctx, r, func(offset int) iter.Seq2[flowroute.Number, error] {
		return r.api.Numbers(ctx, flowroute.NumberQuery{Offset: offset})
	}, func(n flowroute.Number) observation {
		return observation{kind: numbers(), name: n.Number.Digits(), at: r.began, listing: r.listing, quiet: r.first, fields: listed(n)}
	})
	r.report.Numbers = n
	return err
}

func (r *run) listRoutes(ctx context.Context) error {
	n, err := listAll(ctx, r, func(offset int) iter.Seq2[flowroute.Route, error] {
		return r.api.Routes(ctx, flowroute.RouteQuery{Offset: offset})
	}, func(route flowroute.Route) observation {
		o := routeOf(route, r.began, r.listing)
		o.quiet = r.first
		return o
	})
	r.report.Routes = n
	return err
}

// listAll stores a whole listing, batch by batch. A page that fails is asked for
// again, from the rows on that are known.
func listAll[T any](ctx context.Context, r *run, list func(offset int) iter.Seq2[T, error], observe func(T) observation) (count int, err error) {
	var batch []observation
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := r.put(ctx, batch); err != nil {
			return &storeError{err}
		}
		batch = batch[:0]
		return nil
	}
	err = r.ask(ctx, func() (progress bool, err error) {
		for item, err := range list(count) {
			if err != nil {
				return progress, errors.Join(err, flush())
			}
			count, progress = count+1, true
			if batch = append(batch, observe(item)); len(batch) == batchSize {
				if err := flush(); err != nil {
					return progress, err
				}
			}
		}
		return progress, flush()
	})
	return count, err
}

// put stores observations and counts what they changed.
func (r *run) put(ctx context.Context, seen []observation) error {
	outcomes, err := r.store.put(ctx, seen)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		if seen[i].kind.letter != numbers().letter {
			continue
		}
		if o.new {
			r.report.Added++
		}
		if slices.Contains(o.changed, string(AliasChanged)) {
			r.report.AliasChanged++
		}
		if slices.Contains(o.changed, string(PrimaryChanged)) || slices.Contains(o.changed, string(FailoverChanged)) {
			r.report.Rerouted++
		}
	}
	return nil
}

// lookForMissing finds what the complete listings lacked: a number is looked up, a
// route is gone the second time. It also removes what has been gone for long.
func (r *run) lookForMissing(ctx context.Context) error {
	old := r.began.Add(-r.store.goneFor)
	for _, k := range []kind{numbers(), routes()} {
		for after := ""; ; {
			names, err := r.store.names(ctx, k, "", after, slice)
			if err != nil {
				return fmt.Errorf("look for missing: %w", err)
			}
			all, err := r.store.entities(ctx, k, names)
			if err != nil {
				return fmt.Errorf("look for missing: %w", err)
			}
			for i, f := range all {
				if err := r.missing(ctx, k, names[i], f, old); err != nil {
					return err
				}
			}
			if len(names) < slice {
				break
			}
			after = names[len(names)-1]
		}
	}
	return nil
}

func (r *run) missing(ctx context.Context, k kind, name string, f map[string]string, old time.Time) error {
	went := moment(f["go"])
	switch {
	case len(f) == 0 || f["sr"] == r.listing:
		return nil
	case !went.IsZero():
		if went.Before(old) {
			return purgeScript.Run(ctx, r.store.rdb, []string{r.store.entityKey(k, name), r.store.key(k.index), r.store.key(gone().index)}, name, old.UnixMilli()).Err()
		}
		return nil
	case !moment(f["se"]).Before(r.began): // bought, or created, since the listing began
		return nil
	case k.letter == routes().letter:
		_, err := r.store.gone(ctx, k, name, r.began, r.began, r.listing, true)
		return err
	case r.budget <= 0 || r.began.Sub(moment(f["se"])) < r.o.Settle:
		r.report.Missing++
		return nil
	}
	r.budget--
	return r.lookUp(ctx, name)
}

// readDetails reads the routes of numbers: those of which they are not known or
// that were touched, then others in turn.
func (r *run) readDetails(ctx context.Context) error {
	if err := r.readDue(ctx, &redis.ZRangeBy{Min: "0", Max: "0", Count: int64(max(r.budget, 0))}); err != nil {
		return err
	}
	// What was read in this sync has a later time and does not come again.
	before := strconv.FormatInt(r.began.UnixMilli(), 10)
	return r.readDue(ctx, &redis.ZRangeBy{Min: "(0", Max: "(" + before, Count: int64(min(max(r.o.Rereads, 0), math.MaxInt32))})
}

func (r *run) readDue(ctx context.Context, by *redis.ZRangeBy) error {
	if by.Count == 0 { // Redis takes it for all
		return nil
	}
	names, err := r.store.rdb.ZRangeByScore(ctx, r.store.key("due"), by).Result()
	if err != nil {
		return fmt.Errorf("find due numbers: %w", err)
	}
	for _, name := range names {
		if err := r.lookUp(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// lookUp asks Flowroute for one number.
func (r *run) lookUp(ctx context.Context, name string) error {
	digits, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return fmt.Errorf("stored number: %w", err)
	}
	number, err := flowroute.E164FromUint64(digits)
	if err != nil {
		return fmt.Errorf("stored number: %w", err)
	}
	at, err := r.store.clock(ctx)
	if err != nil {
		return err
	}
	var d flowroute.NumberDetails
	err = r.ask(ctx, func() (_ bool, err error) {
		d, err = r.api.Number(ctx, number)
		return false, err
	})
	if errors.Is(err, flowroute.ErrNotFound) {
		return r.notFound(ctx, name, at)
	}
	if err != nil {
		return err
	}
	if d.Number.Number != number {
		return fmt.Errorf("asked for number %s, got %s", number.Masked(), d.Number.Number.Masked())
	}
	r.report.DetailsRead++
	return r.put(ctx, []observation{detailsOf(d, at)})
}

// notFound deals with a number of which Flowroute says that it is not there. One
// that the listing had, or that was seen a moment ago, is left for the next sync to
// decide: a purchase may show late.
func (r *run) notFound(ctx context.Context, name string, at time.Time) error {
	v, err := r.store.gone(ctx, numbers(), name, at, at.Add(-r.o.Settle), r.listing, false)
	switch v {
	case isGone:
		r.report.Removed++
	case wasKept:
		r.report.Missing++
	}
	return err
}
