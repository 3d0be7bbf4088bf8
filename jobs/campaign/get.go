package campaign

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Campaign is one campaign as it stands.
type Campaign struct {
	ID      ledger.ID
	Spec    Spec
	State   State
	Created time.Time
	Started time.Time // zero: not yet
	Ended   time.Time // zero: not over
	// Why it is paused.
	Pause Pause

	Rows     int // recipients taken
	Segments int // of their texts
	// Skipped is what the uploads left out; a row that was sent again is counted again, but
	// for those that were taken the first time.
	Skipped Skipped
	// Jobs are the rows that jobs were made of, by state.
	Jobs map[ledger.State]int
	// Cost is what Flowroute's records say of CostOf messages so far.
	Cost   flowroute.Money
	CostOf int
	// Failures is why rows failed, the most frequent first.
	Failures []Failure
	// Rate is the messages a second at the moment; 0 when none went lately.
	Rate float64
	// PutOff is how many rows wait for the hours of their recipients.
	PutOff int
	// WaitsUntil is when the next of those may be sent, while nothing else is left.
	WaitsUntil time.Time

	at, pass     int
	uploaded     time.Time
	hash         string
	segmentPrice flowroute.Money
}

// Pause says why and since when a campaign is paused.
type Pause struct {
	Since time.Time
	// Brake: it paused by itself, since Refused of the last Messages were refused, the
	// last for Reason. Else a person did.
	Brake             bool
	Messages, Refused int
	Reason            ledger.Reason
}

// Failure is how many rows ended in a state for a reason.
type Failure struct {
	State  ledger.State
	Reason ledger.Reason
	Count  int
}

// Skipped counts rows that were left out when they came in.
type Skipped struct {
	Duplicate int `json:"duplicate"`
	Blocked   int `json:"blocked"`
	Invalid   int `json:"invalid"`
}

// Fed is how many rows jobs were made of.
func (c *Campaign) Fed() int {
	n := 0
	for _, count := range c.Jobs {
		n += count
	}
	return n
}

// Waiting is how many rows no job was made of yet. Once the campaign is over they are
// rows that nothing was sent to.
func (c *Campaign) Waiting() int { return max(c.Rows-c.Fed(), 0) }

// Posted is how many rows Flowroute has taken.
func (c *Campaign) Posted() int {
	return c.Jobs[ledger.Accepted] + c.Jobs[ledger.Delivered] + c.Jobs[ledger.Undelivered]
}

// Left is how many rows have no outcome yet.
func (c *Campaign) Left() int {
	return c.Waiting() + c.Jobs[ledger.Queued] + c.Jobs[ledger.Sending] + c.Jobs[ledger.Unknown]
}

// Estimate is what all texts cost at the price of a segment.
func (c *Campaign) Estimate() flowroute.Money { return c.segmentPrice * flowroute.Money(c.Segments) }

// ETA is when the last message goes at the present rate; zero when that cannot be told.
func (c *Campaign) ETA(now time.Time) time.Time {
	if c.State != Running || c.Rate <= 0 || !c.WaitsUntil.IsZero() {
		return time.Time{}
	}
	return now.Add(time.Duration(float64(c.Left()) / c.Rate * float64(time.Second))).Truncate(time.Second)
}

// rateHolds is how long a measured rate says something of now.
const rateHolds = 15 * time.Second

// Get reads a campaign. Errors: [ErrNotFound], [ErrNewerVersion], or Redis' own.
func (s *Store) Get(ctx context.Context, id ledger.ID) (*Campaign, error) {
	many, newer, err := s.getMany(ctx, []ledger.ID{id})
	switch {
	case err != nil:
	case newer:
		err = ErrNewerVersion
	case many[0] == nil:
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read campaign: %w", err)
	}
	return many[0], nil
}

// getMany reads campaigns in one round trip; nil for those that are not there, and those of
// a newer version, which it reports.
func (s *Store) getMany(ctx context.Context, ids []ledger.ID) (campaigns []*Campaign, newer bool, err error) {
	pipe := s.rdb.Pipeline()
	records, counts := make([]*redis.MapStringStringCmd, len(ids)), make([]*redis.MapStringStringCmd, len(ids))
	for i, id := range ids {
		records[i], counts[i] = pipe.HGetAll(ctx, s.keys.campaign(id)), pipe.HGetAll(ctx, s.keys.counts(id))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, err
	}
	campaigns = make([]*Campaign, len(ids))
	for i, id := range ids {
		f := records[i].Val()
		if len(f) == 0 {
			continue
		}
		c, err := s.read(id, f, counts[i].Val())
		switch {
		case errors.Is(err, ErrNewerVersion):
			newer = true
		case err != nil:
			return nil, false, err
		}
		campaigns[i] = c
	}
	return campaigns, newer, nil
}

// read makes a campaign of its record and its counts.
func (s *Store) read(id ledger.ID, f, counts map[string]string) (*Campaign, error) {
	if f["v"] != "1" {
		return nil, ErrNewerVersion
	}
	spec, err := specOf(f["d"])
	if err != nil {
		return nil, err
	}
	c := &Campaign{
		ID: id, Spec: spec, State: stateOf(f["s"]), Created: moment(f["c"]), Started: moment(f["st"]), Ended: moment(f["en"]),
		Rows: number(f["rows"]), Segments: number(f["segs"]), PutOff: number(f["lo"]), at: number(f["at"]), pass: number(f["ps"]),
		uploaded: moment(f["up"]), hash: f["h"], segmentPrice: s.o.SegmentPrice, Jobs: map[ledger.State]int{},
	}
	if f["sk"] != "" {
		_ = json.Unmarshal([]byte(f["sk"]), &c.Skipped) // our own
	}
	if c.State == Paused {
		c.Pause = Pause{Since: moment(f["pt"]), Brake: f["pw"] == "b", Messages: number(f["pn"]), Refused: number(f["pf"])}
		if c.Pause.Brake {
			c.Pause.Reason = ledger.ReasonOf(byte(number(f["pr"])))
		}
	}
	now := s.o.Now()
	if measured := moment(f["rt"]); c.State == Running && now.Sub(measured) < rateHolds {
		c.Rate = float64(number(f["ra"])) / 1000
	}
	if next := moment(f["nx"]); c.State == Running && next.After(now) && c.at == 0 && c.PutOff > 0 {
		c.WaitsUntil = next
	}
	c.count(counts)
	return c, nil
}

// count reads the counts of jobs.
func (c *Campaign) count(counts map[string]string) {
	for field, text := range counts {
		n := number(text)
		switch {
		case field == "us":
			c.Cost = flowroute.Money(n)
			continue
		case field == "um":
			c.CostOf = n
			continue
		case n <= 0 || field == "bn" || field == "bf":
			continue
		}
		state := ledger.StateOf(field[0])
		if len(field) == 1 {
			c.Jobs[state] = n
			continue
		}
		c.Failures = append(c.Failures, Failure{state, ledger.ReasonOf(byte(number(field[1:]))), n})
	}
	slices.SortFunc(c.Failures, func(a, b Failure) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.State, b.State), cmp.Compare(a.Reason, b.Reason))
	})
}

// Active reads the campaigns that are not over, in no order.
func (s *Store) Active(ctx context.Context) ([]*Campaign, error) {
	texts, err := s.rdb.SMembers(ctx, s.keys.active()).Result()
	if err != nil || len(texts) == 0 {
		return nil, err
	}
	ids := make([]ledger.ID, len(texts))
	for i, text := range texts {
		if ids[i], err = ledger.ParseID(text); err != nil {
			return nil, fmt.Errorf("read campaigns: %w", err)
		}
	}
	found, _, err := s.getMany(ctx, ids)
	return slices.DeleteFunc(found, func(c *Campaign) bool { return c == nil }), err
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// MaxPage is how many campaigns a page has at most.
const MaxPage = 1000

// List reads campaigns, the newest first: up to limit of those created before the given
// one (zero: from the newest). next is what to go on from; zero at the end.
func (s *Store) List(ctx context.Context, limit int, after ledger.ID) (campaigns []*Campaign, next ledger.ID, err error) {
	limit = min(max(limit, 1), MaxPage)
	start := int64(0)
	if !after.IsZero() {
		rank, err := s.rdb.ZRevRank(ctx, s.keys.all(), after.String()).Result()
		if errors.Is(err, redis.Nil) {
			return nil, ledger.ID{}, nil
		}
		if err != nil {
			return nil, ledger.ID{}, fmt.Errorf("list campaigns: %w", err)
		}
		start = rank + 1
	}
	texts, err := s.rdb.ZRevRange(ctx, s.keys.all(), start, start+int64(limit)).Result()
	if err != nil {
		return nil, ledger.ID{}, fmt.Errorf("list campaigns: %w", err)
	}
	if len(texts) > limit {
		texts = texts[:limit]
		if next, err = ledger.ParseID(texts[limit-1]); err != nil {
			return nil, ledger.ID{}, fmt.Errorf("list campaigns: %w", err)
		}
	}
	ids := make([]ledger.ID, len(texts))
	for i, text := range texts {
		if ids[i], err = ledger.ParseID(text); err != nil {
			return nil, ledger.ID{}, fmt.Errorf("list campaigns: %w", err)
		}
	}
	if len(ids) == 0 {
		return nil, ledger.ID{}, nil
	}
	found, _, err := s.getMany(ctx, ids)
	if err != nil {
		return nil, ledger.ID{}, fmt.Errorf("list campaigns: %w", err)
	}
	for i, c := range found {
		if c != nil {
			campaigns = append(campaigns, c)
		} else if texts[i] != next.String() && s.rdb.Exists(ctx, s.keys.campaign(ids[i])).Val() == 0 { // its retention is over
			s.rdb.ZRem(ctx, s.keys.all(), texts[i])
		}
	}
	return campaigns, next, nil
}
