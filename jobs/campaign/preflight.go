package campaign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
)

// PreflightOptions of a look ahead. The zero value knows of no clocks and no limits.
type PreflightOptions struct {
	// Clocks tell who is outside sending hours; nil: nobody is.
	Clocks *Clocks
	// Rate is the messages a second that all campaigns together may send; 0: no limit.
	Rate float64
}

// Preflight is what a campaign would be and do. Its JSON is that of the commands.
type Preflight struct {
	Spec       Spec        `json:"spec"` // with its defaults
	Recipients int         `json:"recipients"`
	Skipped    Skipped     `json:"skipped"`
	Invalid    []WhyCount  `json:"invalid"` // by reason, the most frequent first
	Blocked    []WhyCount  `json:"blocked"`
	Absent     []string    `json:"absent,omitempty"` // optional fields without a column
	Segments   int         `json:"segments"`
	Texts      []TextCount `json:"texts"` // by segments
	UCS2       int         `json:"ucs2"`  // texts
	// EstimatedCost of all segments, in USD.
	EstimatedCost string `json:"estimated_cost"`

	StartAt time.Time `json:"start_at"`
	// Outside is how many recipients are outside their sending hours at the start.
	Outside int     `json:"outside_hours"`
	Rate    float64 `json:"rate,omitempty"` // messages a second; 0: no limit
	// FinishAt is the earliest that all can have been sent, with nothing else to send;
	// zero: never. Unsent is how many then are left at the end time.
	FinishAt time.Time `json:"finish_at,omitzero"`
	Unsent   int       `json:"unsent,omitempty"`

	// Costly is what in the template makes texts UCS-2, Values what in the rows does.
	Costly []CostlyChar  `json:"costly_characters"`
	Values []CostlyValue `json:"costly_values"`
	// PlainTemplate says the same in ASCII, as far as it can, and needs PlainSaves
	// segments less; PlainValues saves as many more, when the values are replaced too.
	PlainTemplate string `json:"plain_template,omitempty"`
	PlainSaves    int    `json:"plain_saves,omitempty"`
	PlainSaving   string `json:"plain_saving,omitempty"` // in USD
	PlainValues   int    `json:"plain_values,omitempty"`
	ValuesSaving  string `json:"plain_values_saving,omitempty"`
}

// WhyCount is how many rows are left out for a reason, and the first of them.
type WhyCount struct {
	Field string `json:"field,omitempty"`
	Code  string `json:"code,omitempty"`
	Why   string `json:"why"`
	Rows  int    `json:"rows"`
	Line  int    `json:"line"`
}

// TextCount is how many texts have so many segments.
type TextCount struct {
	Segments int `json:"segments"`
	Texts    int `json:"texts"`
}

// CostlyChar is a character of the template that makes texts UCS-2.
type CostlyChar struct {
	Char   string  `json:"char"`
	Line   int     `json:"line"` // of the first, both from 1
	Column int     `json:"column"`
	Count  int     `json:"count"`
	Write  *string `json:"write,omitempty"` // what to write instead; empty: leave it out
	// OnlyInDefaults: it costs only the rows that lack the field.
	OnlyInDefaults bool `json:"only_in_defaults,omitempty"`
}

// CostlyValue is a character that rows bring in a field, and that makes texts UCS-2.
type CostlyValue struct {
	Field string  `json:"field"`
	Char  string  `json:"char"`
	Rows  int     `json:"rows"`
	Line  int     `json:"line"` // of the first
	Write *string `json:"write,omitempty"`
}

const (
	// mostWhys and mostValues bound what is told apart.
	mostWhys, mostValues = 100, 500
)

// Preflight looks at recipients as [Store.Upload] does, and says what a campaign with them
// would do. Each row gets its answer, with Row as it would be; an error of answer ends it.
// Nothing is written. Errors: [*jobs.ValidationError], [*intake.FileError], those of r, or
// Redis' own.
func (s *Store) Preflight(ctx context.Context, spec Spec, r io.Reader, in Input, o PreflightOptions, answer func(Answer) error) (Preflight, error) {
	p, err := s.plan(ctx, spec)
	if err != nil {
		return Preflight{}, err
	}
	l := &look{
		Preflight: Preflight{Spec: p.spec, StartAt: time.Now().UTC().Truncate(time.Second), Costly: []CostlyChar{}},
		intake:    p.incoming(s.o.OptOuts), answer: answer, whys: map[jobs.FieldError]*WhyCount{}, blocked: map[string]*WhyCount{},
		values: map[valueKey]*CostlyValue{}, forecast: newForecast(o.Clocks, p.spec),
	}
	if p.spec.StartAt.After(l.StartAt) {
		l.StartAt = p.spec.StartAt
	}
	l.findCostly()
	if err := l.read(ctx, r, in); err != nil {
		return Preflight{}, fmt.Errorf("look at recipients: %w", err)
	}
	l.sum(s.o.SegmentPrice, o.Rate)
	return l.Preflight, nil
}

// look is one look ahead.
type look struct {
	Preflight
	intake   *incoming
	answer   func(Answer) error
	plain    *template.Template // nil: there is nothing to replace
	texts    [maxSegments + 1]int
	whys     map[jobs.FieldError]*WhyCount
	blocked  map[string]*WhyCount
	values   map[valueKey]*CostlyValue
	forecast *forecast

	text, before []byte
}

type valueKey struct {
	field int
	char  rune
}

func (l *look) findCostly() {
	for _, c := range l.intake.template.Costly() {
		l.Costly = append(l.Costly, CostlyChar{Char: string(c.Char), Line: c.Line, Column: c.Column, Count: c.Count, Write: instead(c.Plain, c.HasPlain), OnlyInDefaults: c.OnlyInDefaults})
	}
	plain := l.intake.template.Plain()
	if plain == l.intake.template.String() {
		return
	}
	if parsed, err := template.Parse(plain); err == nil && len(parsed.Fields()) == len(l.intake.fields) {
		l.plain, l.PlainTemplate = parsed, plain
	}
}

func instead(plain string, has bool) *string {
	if !has {
		return nil
	}
	return &plain
}

func (l *look) read(ctx context.Context, r io.Reader, in Input) error {
	rows, err := l.intake.open(r, in)
	if err != nil {
		return err
	}
	l.Absent = rows.Absent()
	for {
		next, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return l.flush(ctx)
		case err != nil:
			return errors.Join(l.flush(ctx), err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case l.Recipients+l.intake.fine >= MaxRows:
			return fmt.Errorf("a campaign has at most %d recipients", MaxRows)
		}
		l.intake.take(next)
		if len(l.intake.taken) >= uploadBatch {
			if err := l.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// flush counts the rows that came in.
func (l *look) flush(ctx context.Context) error {
	if err := l.intake.block(ctx); err != nil {
		return err
	}
	for i := range l.intake.taken {
		t := &l.intake.taken[i]
		switch t.Verdict {
		case RowAccepted:
			l.Recipients++
			t.Row = l.Recipients
			l.count(t)
		case RowDuplicate:
			l.Skipped.Duplicate++
		case RowBlocked:
			l.Skipped.Blocked++
			add(l.blocked, t.Why, WhyCount{Why: t.Why, Line: t.Line})
		case RowInvalid:
			l.Skipped.Invalid++
			add(l.whys, t.Problem, WhyCount{Field: t.Problem.Field, Code: t.Problem.Code, Why: t.Problem.Message, Line: t.Line})
		}
		if l.answer != nil {
			if err := l.answer(t.Answer); err != nil {
				return err
			}
		}
	}
	l.intake.clear()
	return nil
}

// add counts a row under its reason; once there are many reasons, under "others".
func add[K comparable](counts map[K]*WhyCount, key K, first WhyCount) {
	if counts[key] == nil && len(counts) >= mostWhys {
		var others K
		key, first = others, WhyCount{Why: "others", Line: first.Line}
	}
	if counts[key] == nil {
		counts[key] = &first
	}
	counts[key].Rows++
}

func (l *look) count(t *taken) {
	l.Segments += t.segments
	l.texts[t.segments]++
	l.forecast.add(t.to)
	if t.encoding == flowroute.EncodingUCS2 {
		l.UCS2++
		l.weigh(t)
	}
}

// weigh looks at what makes a text UCS-2, and how many segments it would have without.
func (l *look) weigh(t *taken) {
	for i, value := range t.values {
		l.weighValue(i, value, t.Line)
	}
	segments, from := t.segments, l.intake.template
	if l.plain != nil {
		from = l.plain
	}
	text, err := from.Append(l.text[:0], t.values)
	if err != nil {
		return // it has every value
	}
	l.text = text
	if l.plain != nil {
		now, _ := flowroute.Segments(string(text))
		l.PlainSaves += segments - now
		segments = now
	}
	l.before = l.before[:0]
	for _, r := range string(text) {
		if to, found := template.Plain(r); found {
			l.before = append(l.before, to...)
		} else {
			l.before = utf8.AppendRune(l.before, r)
		}
	}
	now, _ := flowroute.Segments(string(l.before))
	l.PlainValues += segments - now
}

func (l *look) weighValue(field int, value []byte, line int) {
	var counted []rune
	for _, r := range string(value) {
		if r < utf8.RuneSelf || slices.Contains(counted, r) {
			continue
		}
		counted = append(counted, r)
		key := valueKey{field, r}
		v := l.values[key]
		if v == nil {
			if len(l.values) >= mostValues {
				continue
			}
			plain, has := template.Plain(r)
			v = &CostlyValue{Field: l.intake.fields[field].Name, Char: string(r), Line: line, Write: instead(plain, has)}
			l.values[key] = v
		}
		v.Rows++
	}
}

// sum makes the result of what was counted.
func (l *look) sum(price flowroute.Money, rate float64) {
	for segments, n := range l.texts {
		if n > 0 {
			l.Texts = append(l.Texts, TextCount{segments, n})
		}
	}
	l.EstimatedCost = (price * flowroute.Money(l.Segments)).String()
	if l.PlainSaves > 0 {
		l.PlainSaving = (price * flowroute.Money(l.PlainSaves)).String()
	}
	if l.PlainValues > 0 {
		l.ValuesSaving = (price * flowroute.Money(l.PlainValues)).String()
	}
	l.Invalid, l.Preflight.Blocked = ranked(l.whys), ranked(l.blocked)
	l.Values = []CostlyValue{}
	for _, v := range l.values {
		l.Values = append(l.Values, *v)
	}
	slices.SortFunc(l.Values, func(a, b CostlyValue) int {
		return cmp.Or(b.Rows-a.Rows, cmp.Compare(a.Line, b.Line), cmp.Compare(a.Char, b.Char))
	})
	if own := l.Spec.Rate; own > 0 && (own < rate || rate <= 0) {
		rate = own
	}
	if !math.IsInf(rate, 1) {
		l.Rate = rate
	}
	l.Outside = l.forecast.outside(l.StartAt)
	l.FinishAt, l.Unsent = l.forecast.run(l.StartAt, l.Spec.EndAt, l.Rate)
}

func ranked[K comparable](counts map[K]*WhyCount) []WhyCount {
	list := []WhyCount{}
	for why := range maps.Values(counts) {
		list = append(list, *why)
	}
	slices.SortFunc(list, func(a, b WhyCount) int { return cmp.Or(b.Rows-a.Rows, cmp.Compare(a.Line, b.Line)) })
	return list
}
