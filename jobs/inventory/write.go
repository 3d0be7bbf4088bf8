package inventory

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

//go:embed put.lua
var putLua string

//go:embed gone.lua
var goneLua string

var (
	putScript  = redis.NewScript(putLua)
	goneScript = redis.NewScript(goneLua)
	// KEYS 1 the entity, 2 the index, 3 gone numbers; ARGV 1 name, 2 time; removes what is gone since before.
	purgeScript = redis.NewScript(`
local gone = redis.call('HGET', KEYS[1], 'go')
if not gone or tonumber(gone) >= tonumber(ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[1])`)
	// KEYS 1 numbers by when their details were read, 2 touched numbers; ARGV 1 number.
	touchScript = redis.NewScript(`
local clock = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', tonumber(clock[1]) * 1000 + math.ceil(tonumber(clock[2]) / 1000)))
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return 1`)
)

// Touch has the next sync read the number's details: something changed them. The
// number need not be known.
func (s *Store) Touch(ctx context.Context, n flowroute.E164) error {
	if n.IsZero() {
		return nil
	}
	if err := touchScript.Run(ctx, s.rdb, []string{s.key("due"), s.key("touched")}, n.Digits()).Err(); err != nil {
		return fmt.Errorf("touch number: %w", err)
	}
	return nil
}

// PutDetails stores what Flowroute has just said of a number, as an answer to a
// purchase, an alias or a look-up. A number that the copy does not know is new.
func (s *Store) PutDetails(ctx context.Context, d flowroute.NumberDetails) error {
	_, err := s.put(ctx, []observation{detailsOf(d, time.Time{})})
	return err
}

// Read asks Flowroute for a number, and stores what it says. A number that the copy does
// not know is new. Errors: Flowroute's, such as [flowroute.ErrNotFound], with which the
// copy stays as it is; one that cannot be stored is touched for the next sync.
func (s *Store) Read(ctx context.Context, api *flowroute.Client, n flowroute.E164) (flowroute.NumberDetails, error) {
	at, clockErr := s.clock(ctx)
	d, err := api.Number(ctx, n)
	if err != nil {
		return d, err
	}
	if d.Number.Number != n {
		return d, fmt.Errorf("asked for number %s, got %s", n.Masked(), d.Number.Number.Masked())
	}
	if clockErr == nil {
		_, err = s.put(ctx, []observation{detailsOf(d, at)})
	}
	if clockErr != nil || err != nil {
		_ = s.Touch(ctx, n) // the copy is behind until then
	}
	return d, nil
}

// PutRoute stores a route that Flowroute has just named, for example a new one.
func (s *Store) PutRoute(ctx context.Context, r flowroute.Route) error {
	if r.ID == "" {
		return nil
	}
	_, err := s.put(ctx, []observation{routeOf(r, time.Time{}, "")})
	return err
}

// Slot is a place for a route at a number.
type Slot string

// The slots.
const (
	Primary  Slot = "pr"
	Failover Slot = "fo"
)

// PutAssigned stores that a number was given a route (empty: none) just now, and
// touches it. A number that the copy does not know is only touched.
func (s *Store) PutAssigned(ctx context.Context, n flowroute.E164, slot Slot, routeID string) error {
	if n.IsZero() {
		return nil
	}
	o := observation{kind: numbers(), name: n.Digits(), known: true, fields: []any{string(slot), routeID}}
	if _, err := s.put(ctx, []observation{o}); err != nil {
		return err
	}
	return s.Touch(ctx, n)
}

// observation is what Flowroute said of a number or a route.
type observation struct {
	kind    kind
	name    string
	at      time.Time // when the question began, on Redis' clock; zero: now
	listing string    // it was in this listing; empty: in none
	details bool
	known   bool // only if the copy has it
	quiet   bool // that it is new is no news
	fields  []any
}

func listed(n flowroute.Number) []any {
	fields := []any{"al", n.Alias, "ty", n.Type, "rc", n.RateCenter, "st", n.State}
	if n.MessagingEnabled != nil {
		fields = append(fields, "me", *n.MessagingEnabled)
	}
	return fields
}

func detailsOf(d flowroute.NumberDetails, at time.Time) observation {
	fields := append(listed(d.Number), "pr", routeID(d.PrimaryRoute), "fo", routeID(d.FailoverRoute))
	return observation{kind: numbers(), name: d.Number.Number.Digits(), at: at, details: true, fields: fields}
}

func routeID(r *flowroute.RouteRef) string {
	if r == nil {
		return ""
	}
	return r.ID
}

func routeOf(r flowroute.Route, at time.Time, listing string) observation {
	return observation{kind: routes(), name: r.ID, at: at, listing: listing, fields: []any{"al", r.Alias, "ty", string(r.Type), "va", r.Value}}
}

// outcome is what an observation changed.
type outcome struct {
	new     bool
	changed []string // the words of [ChangeKind], and some more
}

func (s *Store) put(ctx context.Context, seen []observation) ([]outcome, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(seen))
	for i, o := range seen {
		if o.name == "" {
			return nil, fmt.Errorf("store numbers: one without a name")
		}
		cmds[i] = putScript.EvalSha(ctx, pipe, s.putKeys(o.kind, o.name), s.putArgs(o)...)
	}
	// Each command carries its own error.
	_, _ = pipe.Exec(ctx)
	outcomes := make([]outcome, len(seen))
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmd = putScript.Eval(ctx, s.rdb, s.putKeys(seen[i].kind, seen[i].name), s.putArgs(seen[i])...)
		}
		answer, err := cmd.Slice()
		if redis.HasErrorPrefix(err, "NEWER") {
			err = ErrNewerVersion
		}
		if err != nil {
			return nil, fmt.Errorf("store numbers: %w", err)
		}
		outcomes[i].new = answer[0] == int64(1)
		for _, name := range answer[2:] {
			outcomes[i].changed = append(outcomes[i].changed, fmt.Sprint(name))
		}
	}
	return outcomes, nil
}

func (s *Store) putArgs(o observation) []any {
	var at int64
	if !o.at.IsZero() {
		at = o.at.UnixMilli()
	}
	return append([]any{o.kind.letter, o.name, at, o.listing, s.changesMax, o.details, o.known, o.quiet}, o.fields...)
}

// verdict is what became of a number or route that was not found.
type verdict string

const (
	isGone  verdict = "gone" // from now on
	wasKept verdict = "kept" // somebody has seen it, or it has another chance
)

// gone notes that a number or route was not there when it was asked for at a time.
// It stays when it was seen since unseen, and with twice also when no earlier
// complete listing lacked it.
func (s *Store) gone(ctx context.Context, k kind, name string, at, unseen time.Time, listing string, twice bool) (verdict, error) {
	v, err := goneScript.Run(ctx, s.rdb, s.putKeys(k, name), k.letter, name, at.UnixMilli(), listing, s.changesMax, twice, unseen.UnixMilli()).Text()
	if err != nil {
		return "", fmt.Errorf("store numbers: %w", err)
	}
	return verdict(v), nil
}

// clock is Redis' time, by which observations are ordered.
func (s *Store) clock(ctx context.Context) (time.Time, error) {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return now, fmt.Errorf("read the time: %w", err)
	}
	return now.Truncate(time.Millisecond), nil
}
