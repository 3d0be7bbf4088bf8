package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// Errors that callers branch on. Bad input is a [*jobs.ValidationError].
var (
	// ErrNotFound: no such campaign, or its retention is over.
	ErrNotFound = errors.New("no such campaign")
	// ErrConflict: the key belongs to a campaign that asks for something else.
	ErrConflict = errors.New("the key belongs to a campaign with other content")
	// ErrBusy: another upload to the campaign goes on.
	ErrBusy = errors.New("another upload to this campaign is going on: do this again when it has ended, which adds nobody twice; or cancel the campaign")
	// ErrEmpty: a campaign without recipients cannot be started.
	ErrEmpty = errors.New("the campaign has no recipients")
)

// StateError says that the campaign's state does not allow what was asked.
type StateError struct {
	Op    string // start, pause, resume, cancel, upload
	State State
}

// Error is the state and what it means.
func (e *StateError) Error() string {
	if e.Op == "upload" {
		return fmt.Sprintf("the campaign is %s: recipients can only be added to a draft", e.State)
	}
	done := strings.TrimSuffix(e.Op, "e") + "ed"
	if e.Op == "cancel" {
		done = "cancelled"
	}
	return fmt.Sprintf("the campaign is %s: it cannot be %s", e.State, done)
}

// Options of a store. The zero value is the documented default.
type Options struct {
	Prefix    string        // Defaults to [ledger.DefaultPrefix]; needs a hash tag.
	Retention time.Duration // how long campaigns stay that are over. Defaults to 720 h, as the ledger's.
	// Durable: a row counts as accepted, and a campaign as created or changed, when that is
	// on Redis' disk.
	Durable bool
	// UploadTTL is how long an upload whose process died keeps others out. An upload that
	// hears nothing of Redis for so long ends. Defaults to 15 s.
	UploadTTL time.Duration
	// OptOuts is who must not be texted, looked at when rows come in; nil: nobody.
	OptOuts suppress.Checker
	// Senders finds those of some sending numbers that are not the account's, and says of
	// each what to do; nil: all pass.
	Senders func(ctx context.Context, from []flowroute.E164) (refused map[flowroute.E164]string, err error)
	// SendingHours are of campaigns that give none. Defaults to always.
	SendingHours jobs.SendingHours
	// BrakePercent of the last BrakeWindow messages refused pause a campaign. Default to
	// 5 of 1000.
	BrakePercent, BrakeWindow int
	// SegmentPrice is for estimates. Defaults to 0.0040 USD.
	SegmentPrice flowroute.Money
	Now          func() time.Time // Defaults to [time.Now].
}

// Store is the campaigns in Redis. It is safe for concurrent use, by any number of
// processes.
type Store struct {
	rdb  redis.UniversalClient
	keys keys
	o    Options
}

// New makes a store on rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient, o Options) (*Store, error) {
	if rdb == nil {
		return nil, errors.New("campaign: no redis client")
	}
	if o.Prefix == "" {
		o.Prefix = ledger.DefaultPrefix
	}
	if open := strings.IndexByte(o.Prefix, '{'); open < 0 || strings.IndexByte(o.Prefix[open:], '}') < 2 {
		return nil, fmt.Errorf("campaign: prefix %q needs a hash tag like {flowroute}", o.Prefix)
	}
	if o.Retention == 0 {
		o.Retention = 720 * time.Hour
	}
	if o.UploadTTL <= 0 {
		o.UploadTTL = defaultUploadTTL
	}
	if o.BrakeWindow == 0 {
		o.BrakePercent, o.BrakeWindow = 5, 1000
	}
	if o.SendingHours == (jobs.SendingHours{}) {
		o.SendingHours.End = 24 * time.Hour
	}
	if o.SegmentPrice == 0 {
		o.SegmentPrice = 4_000_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{rdb: rdb, keys: keys{o.Prefix}, o: o}, nil
}

// Created is the answer to [Store.Create].
type Created struct {
	ID        ledger.ID
	State     State
	Duplicate bool // the campaign existed
}

// Create writes a campaign down as a draft, once: the same id with the same content is
// the same campaign, whatever became of it. Errors: [*jobs.ValidationError],
// [ErrConflict], or Redis' own; then repeat it with the same id.
func (s *Store) Create(ctx context.Context, id ledger.ID, spec Spec) (Created, error) {
	created := Created{ID: id}
	known, err := s.Get(ctx, id)
	switch {
	case err == nil && known.hash == spec.hash():
		if s.o.Durable { // its first answer may have been that it is not
			err = ledger.WaitForDisk(ctx, s.rdb, s.keys.prefix)
		}
		return Created{ID: id, State: known.State, Duplicate: true}, err
	case err == nil:
		return Created{ID: id, State: known.State, Duplicate: true}, fmt.Errorf("create campaign: %w", ErrConflict)
	case !errors.Is(err, ErrNotFound):
		return created, err
	}
	p, err := s.plan(ctx, spec)
	if err != nil {
		return created, err
	}
	r := s.durably(ctx, scriptCreate, id, p.spec.encode(), spec.hash(), millis(p.spec.StartAt), millis(p.spec.EndAt), s.o.BrakeWindow, s.o.BrakePercent)
	if r.err != nil {
		return created, fmt.Errorf("create campaign: %w", r.err)
	}
	created.State, created.Duplicate = r.state(), r.verdict() != "new"
	if r.verdict() == "conflict" {
		return created, fmt.Errorf("create campaign: %w", ErrConflict)
	}
	return created, nil
}

// plan checks a spec, and that its senders are the account's.
func (s *Store) plan(ctx context.Context, spec Spec) (*plan, error) {
	p, err := spec.plan(s.o.Now())
	if err != nil {
		return nil, err
	}
	if p.spec.SendingHours == "" {
		p.spec.SendingHours = s.o.SendingHours.String()
	}
	return p, s.checkSenders(ctx, p)
}

func (s *Store) checkSenders(ctx context.Context, p *plan) error {
	if s.o.Senders == nil {
		return nil
	}
	refused, err := s.o.Senders(ctx, p.senders)
	if err != nil {
		return err
	}
	var d problems
	for _, sender := range p.senders {
		if why, bad := refused[sender]; bad {
			d.refuse("from", jobs.CodeNotOurs, why)
		}
	}
	return d.err()
}

// Start lets the campaign begin, now or at its start time; nothing can be added to it any
// more. Starting it again changes nothing. Errors: [ErrNotFound], [ErrEmpty],
// [ErrBusy], [*StateError], or Redis' own.
func (s *Store) Start(ctx context.Context, id ledger.ID) (State, error) {
	return s.change(ctx, id, "start")
}

// Pause stops it at once: what has its intent written still goes, nothing else. Errors:
// as [Store.Start]'s.
func (s *Store) Pause(ctx context.Context, id ledger.ID) (State, error) {
	return s.change(ctx, id, "pause")
}

// Resume lets it go on, with a fresh look at refusals. Errors: as [Store.Start]'s.
func (s *Store) Resume(ctx context.Context, id ledger.ID) (State, error) {
	return s.change(ctx, id, "resume")
}

// Cancel ends it: what has not been posted never will be. Errors: as [Store.Start]'s.
func (s *Store) Cancel(ctx context.Context, id ledger.ID) (State, error) {
	return s.change(ctx, id, "cancel")
}

func (s *Store) change(ctx context.Context, id ledger.ID, op string) (State, error) {
	r := s.durably(ctx, scriptChange, id, op, s.o.Retention.Milliseconds())
	if r.err != nil {
		return "", fmt.Errorf("%s campaign: %w", op, r.err)
	}
	switch r.verdict() {
	case "missing":
		return "", fmt.Errorf("%s campaign: %w", op, ErrNotFound)
	case "empty":
		return Draft, fmt.Errorf("%s campaign: %w", op, ErrEmpty)
	case "busy":
		return Draft, fmt.Errorf("%s campaign: %w", op, ErrBusy)
	case "no":
		return r.state(), fmt.Errorf("%s campaign: %w", op, &StateError{Op: op, State: r.state()})
	}
	return r.state(), nil
}

// answer is a script's: a word, a state's letter, and numbers.
type answer struct {
	items []any
	err   error
}

func (a answer) text(i int) string {
	if i < len(a.items) {
		if text, ok := a.items[i].(string); ok {
			return text
		}
	}
	return ""
}

func (a answer) verdict() string { return a.text(0) }
func (a answer) state() State    { return stateOf(a.text(1)) }

// run runs a script for one campaign: KEYS 1 is the prefix, ARGV 1 the id.
func (s *Store) run(ctx context.Context, script *redis.Script, id ledger.ID, args ...any) answer {
	items, err := script.Run(ctx, s.rdb, []string{s.keys.prefix}, append([]any{id.String()}, args...)...).Slice()
	return answer{items, err}
}

// durably is run, but with [Options.Durable] an answer means that what it says is on the
// disk; else its error is [ledger.ErrNotDurable].
func (s *Store) durably(ctx context.Context, script *redis.Script, id ledger.ID, args ...any) answer {
	a := s.run(ctx, script, id, args...)
	if a.err == nil && s.o.Durable {
		a.err = ledger.WaitForDisk(ctx, s.rdb, s.keys.prefix)
	}
	return a
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// specOf reads what a campaign's producer gave.
func specOf(text string) (spec Spec, err error) {
	err = json.Unmarshal([]byte(text), &spec)
	return spec, err
}
