package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed park.lua
var parkLua string

//go:embed unpark.lua
var unparkLua string

var (
	scriptPark   = script(parkLua)
	scriptUnpark = script(unparkLua)
)

// Park lets a queued job wait for a limit of its own. It needs no task while it is
// parked, in which it is found by place, the oldest first. It returns how many wait there
// then; 0: it is not queued any more, or the generation is outrun. It may be called again,
// for another place too.
func (l *Ledger) Park(ctx context.Context, id ID, generation int, place string) (waiting int, err error) {
	r := l.run(ctx, scriptPark, id.String(), id[:], generation, place)
	if r.err != nil {
		return 0, fmt.Errorf("park job: %w", r.err)
	}
	return int(r.int(1)), nil
}

// Unpark takes up to that many jobs from a place, the oldest of those created at that
// time or later (zero: of all), and says how many still wait there. They are queued as
// before: whoever takes them posts them, parks them again or gives them a task.
func (l *Ledger) Unpark(ctx context.Context, place string, most int, from time.Time) (ids []ID, left int, err error) {
	r := l.run(ctx, scriptUnpark, place, most, millis(from))
	if r.err != nil {
		return nil, 0, fmt.Errorf("unpark job: %w", r.err)
	}
	for i := 2; i < len(r.items); i++ {
		id, err := ParseID(r.text(i))
		if err != nil {
			return nil, 0, fmt.Errorf("unpark job: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, int(r.int(1)), nil
}

// FirstParked is the job that [Ledger.Unpark] would take; false when there is none.
func (l *Ledger) FirstParked(ctx context.Context, place string, from time.Time) (ID, bool, error) {
	first, err := l.rdb.ZRangeArgs(ctx, redis.ZRangeArgs{Key: l.key("w:" + place), ByScore: true, Start: millis(from), Stop: "inf", Count: 1}).Result()
	if err != nil || len(first) == 0 {
		return ID{}, false, err
	}
	id, err := ParseID(first[0])
	return id, err == nil, err
}

// Parked is how many jobs wait at each place.
func (l *Ledger) Parked(ctx context.Context) (map[string]int, error) {
	places, err := l.rdb.SMembers(ctx, l.key("waits")).Result()
	if err != nil {
		return nil, fmt.Errorf("read parked jobs: %w", err)
	}
	if len(places) == 0 {
		return nil, nil
	}
	pipe := l.rdb.Pipeline()
	sizes := make([]*redis.IntCmd, len(places))
	for i, place := range places {
		sizes[i] = pipe.ZCard(ctx, l.key("w:"+place))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read parked jobs: %w", err)
	}
	parked := make(map[string]int, len(places))
	for i, place := range places {
		parked[place] = int(sizes[i].Val())
	}
	return parked, nil
}

// heldPlace begins the place where rows of a campaign wait that does not run.
const heldPlace = "campaign."

// HeldAt is the place where rows of this campaign wait while it does not run.
func HeldAt(campaign ID) string { return heldPlace + campaign.String() }

// CampaignHeldAt is the campaign whose rows wait at a place; false for other places.
func CampaignHeldAt(place string) (ID, bool) {
	text, ok := strings.CutPrefix(place, heldPlace)
	if !ok {
		return ID{}, false
	}
	id, err := ParseID(text)
	return id, err == nil
}

// CampaignHeld reports whether the rows of a campaign wait until it runs.
func (l *Ledger) CampaignHeld(ctx context.Context, campaign ID) (bool, error) {
	state, err := l.rdb.HGet(ctx, l.key("cp:"+campaign.String()), "s").Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return state == "p" || state == "d" || state == "s", err
}

// StillParked reports of each job whether it is where its record says that it waits.
func (l *Ledger) StillParked(ctx context.Context, jobs []Job) ([]bool, error) {
	still := make([]bool, len(jobs))
	pipe := l.rdb.Pipeline()
	scores := make([]*redis.FloatCmd, len(jobs))
	for i, job := range jobs {
		if job.Parked != "" {
			scores[i] = pipe.ZScore(ctx, l.key("w:"+job.Parked), job.ID.String())
		}
	}
	if pipe.Len() == 0 {
		return still, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read parked jobs: %w", err)
	}
	for i, score := range scores {
		still[i] = score != nil && score.Err() == nil
	}
	return still, nil
}
