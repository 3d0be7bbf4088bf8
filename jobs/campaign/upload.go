package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Verdict is the answer to one row.
type Verdict string

// The verdicts.
const (
	RowAccepted  Verdict = "accepted"  // it is in Redis
	RowDuplicate Verdict = "duplicate" // the recipient is in the campaign already
	RowBlocked   Verdict = "blocked"   // the recipient has opted out
	RowInvalid   Verdict = "invalid"
)

// Answer is what became of a row.
type Answer struct {
	Line    int // of the input, from 1
	Verdict Verdict
	Row     int             // of the campaign, from 1, when accepted
	Why     string          // when blocked
	Problem jobs.FieldError // when invalid
}

// Totals are of one upload.
type Totals struct {
	Accepted, Duplicate, Blocked, Invalid int
	// Known, of the duplicates, were in the campaign before this upload.
	Known    int
	Segments int // of those accepted
}

// Rows is how many rows there were.
func (t Totals) Rows() int { return t.Accepted + t.Duplicate + t.Blocked + t.Invalid }

// Input is how the recipients are written. The zero value is CSV or NDJSON, told by the
// first character.
type Input struct {
	Format    intake.Format
	Recipient string // the column with the number. Defaults to the one with a usual name
	Latin1    bool   // a CSV in Latin-1
	FirstLine int    // of a stream whose beginning was read before. Defaults to 1
	// Waiting is called now and then while another upload is in the way, of which it is
	// not known yet whether it lives; an error of it ends this one with it. nil: nobody is
	// told.
	Waiting func() error
}

// uploadBatch is how many rows go to Redis at once, unless the input pauses.
const uploadBatch = 8 * chunkRows

// Upload adds recipients to a draft. Each row gets its answer, in order, once it is
// certain; an error of answer ends the upload with it. It may be called again, after an
// error or with more rows. Rows that were answered stay; of the others of a broken upload
// some may have been taken, which makes them duplicates then.
//
// One upload at a time adds to a campaign. Where there is another one that lives, the
// error is [ErrBusy], after a look of up to a third of [Options].UploadTTL; one that died
// is waited for, nothing of r being read before.
//
// Errors: [ErrNotFound], [ErrBusy], [*StateError], [*intake.FileError] and those of r,
// after which no row counts that was not answered; or Redis' own.
func (s *Store) Upload(ctx context.Context, id ledger.ID, r io.Reader, in Input, answer func(Answer) error) (Totals, error) {
	u := &upload{store: s, id: id, answer: answer, packer: newPacker(), token: uuid.NewString()}
	err := s.uploader(id, in.Waiting).hold(ctx, func(ctx context.Context) error { return u.run(ctx, r, in) })
	if err != nil {
		return u.totals, fmt.Errorf("upload recipients: %w", err)
	}
	return u.totals, nil
}

// upload is one upload. Rows come in and are looked at one by one; a flush looks them up
// among the opt-outs, puts what is left into the last chunk, writes the chunks that
// changed, and answers.
type upload struct {
	store  *Store
	id     ledger.ID
	answer func(Answer) error
	packer *packer
	token  string
	writes int
	intake *incoming

	rows     int    // in Redis
	last     *chunk // the rows after the last full chunk
	packed   []any  // number and content of chunks that changed
	added    int    // rows that are not in Redis
	segments int    // of those
	totals   Totals
	err      error // of a flush, after which there is none: its rows would be added twice
}

func (u *upload) run(ctx context.Context, r io.Reader, in Input) error {
	c, err := u.store.Get(ctx, u.id)
	if err != nil {
		return err
	}
	if c.State != Draft {
		return &StateError{Op: "upload", State: c.State}
	}
	p, err := c.plan()
	if err != nil {
		return err
	}
	u.intake, u.rows, u.last = p.incoming(u.store.o.OptOuts), c.Rows, newChunk(len(p.fields))
	if err := u.resume(ctx); err != nil {
		return err
	}
	err = u.read(ctx, r, in)
	if flushErr := u.flush(ctx); flushErr != nil {
		return flushErr
	}
	return errors.Join(err, u.note(ctx, c.Skipped))
}

// plan is the plan of a campaign that was taken: times that were fine then still are.
func (c *Campaign) plan() (*plan, error) { return c.Spec.plan(c.Created) }

// resume reads what is there: the numbers, and the last chunk.
func (u *upload) resume(ctx context.Context) error {
	for number := 0; number*chunkRows < u.rows; number++ {
		rows, err := u.store.chunk(ctx, u.id, number)
		if err != nil {
			return err
		}
		for _, row := range rows {
			u.intake.seen.add(row.to, true)
			if len(rows) < chunkRows {
				u.last.add(row)
			}
		}
	}
	if u.rows%chunkRows != u.last.len() {
		return fmt.Errorf("%w: the last has %d rows, of %d", errChunk, u.last.len(), u.rows)
	}
	return nil
}

// read takes rows in until the input ends.
func (u *upload) read(ctx context.Context, r io.Reader, in Input) error {
	source := &pausing{r: r, pause: func() error { return u.flush(ctx) }}
	rows, err := u.intake.open(source, in)
	if err != nil {
		return err
	}
	for {
		next, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case u.err != nil:
			return u.err
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case u.rows+u.intake.fine >= MaxRows:
			return &jobs.ValidationError{Problems: []jobs.FieldError{{Code: jobs.CodeTooMany, Message: fmt.Sprintf("a campaign has at most %d recipients: put the others into another one", MaxRows)}}}
		}
		u.intake.take(next)
		if len(u.intake.taken) >= uploadBatch {
			if err := u.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// flush writes the rows that came in, and answers.
func (u *upload) flush(ctx context.Context) error {
	if u.err == nil {
		u.err = u.flushRows(ctx)
	}
	return u.err
}

func (u *upload) flushRows(ctx context.Context) error {
	if err := u.intake.block(ctx); err != nil {
		return err
	}
	for i := range u.intake.taken {
		t := &u.intake.taken[i]
		if t.Verdict != RowAccepted {
			continue
		}
		u.added++
		u.segments += t.segments
		t.Row = u.rows + u.added
		u.last.add(t.row)
		if u.last.len() == chunkRows {
			u.pack()
			u.last.reset()
		}
	}
	if u.added > 0 {
		if u.last.len() > 0 {
			u.pack()
		}
		if err := u.write(ctx); err != nil {
			return err
		}
	}
	for _, t := range u.intake.taken {
		u.totals.count(t)
		if u.answer == nil {
			continue
		}
		if err := u.answer(t.Answer); err != nil {
			return err
		}
	}
	u.intake.clear()
	return nil
}

// pack adds the last chunk to what is to be written.
func (u *upload) pack() {
	u.packed = append(u.packed, (u.rows+u.added-1)/chunkRows, u.packer.pack(u.last))
}

func (u *upload) write(ctx context.Context) error {
	u.writes++
	args := append([]any{u.token + "." + strconv.Itoa(u.writes), u.rows, u.rows + u.added, u.segments}, u.packed...)
	r := u.store.durably(ctx, scriptAppend, u.id, args...)
	switch {
	case r.err != nil:
		return r.err
	case r.verdict() == "missing":
		return ErrNotFound
	case r.verdict() == "behind":
		return ErrBusy
	case r.verdict() != "ok":
		return &StateError{Op: "upload", State: r.state()}
	}
	u.rows += u.added
	u.totals.Segments += u.segments
	u.added, u.segments, u.packed = 0, 0, u.packed[:0]
	return nil
}

// note adds what was left out to the campaign's record.
func (u *upload) note(ctx context.Context, skipped Skipped) error {
	skipped.Duplicate += u.totals.Duplicate - u.totals.Known
	skipped.Blocked += u.totals.Blocked
	skipped.Invalid += u.totals.Invalid
	b, err := json.Marshal(skipped)
	if err != nil {
		return err
	}
	return u.store.rdb.HSet(ctx, u.store.keys.campaign(u.id), "sk", b).Err()
}

func (t *Totals) count(row taken) {
	switch row.Verdict {
	case RowAccepted:
		t.Accepted++
	case RowDuplicate:
		t.Duplicate++
		if row.known {
			t.Known++
		}
	case RowBlocked:
		t.Blocked++
	case RowInvalid:
		t.Invalid++
	}
}

// chunk reads one chunk of a campaign's rows.
func (s *Store) chunk(ctx context.Context, id ledger.ID, number int) ([]row, error) {
	packed, err := s.rdb.HGet(ctx, s.keys.rows(id), strconv.Itoa(number)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: chunk %d is gone", errChunk, number)
	}
	if err != nil {
		return nil, err
	}
	return unpack(packed)
}

// pausing calls pause before it may have to wait for its source, which it takes from the
// source having given less than was asked for.
type pausing struct {
	r     io.Reader
	pause func() error
	short bool
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.short {
		if err := p.pause(); err != nil {
			return 0, err
		}
	}
	n, err := p.r.Read(b)
	p.short = n < len(b)
	return n, err
}
