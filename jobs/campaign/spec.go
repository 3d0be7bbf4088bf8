package campaign

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Bounds of a campaign.
const (
	MaxName    = 100 // characters
	MaxSenders = 100
	MaxRows    = 50_000_000
	MaxRate    = 10_000 // messages a second
	maxKey     = 255    // characters
	ahead      = 366 * 24 * time.Hour
)

// DefaultTemplate is the text of a campaign that gives none: the rows bring it.
const DefaultTemplate = "{{body}}"

// DefaultMaxSegments is how many segments a text may have unless the campaign says more:
// a longer one is nearly always a template gone wrong.
const DefaultMaxSegments = 10

// Spec is what a producer asks for. Its JSON is that of the HTTP API.
type Spec struct {
	// Name is for people, at most [MaxName] characters.
	Name string `json:"name,omitempty"`
	// From is the sending number, or several: each recipient is texted by one of them,
	// always the same. In JSON a string or a list.
	From Senders `json:"from"`
	// Template is the text, with fields of the rows: see package template. Defaults to
	// [DefaultTemplate].
	Template string `json:"template,omitempty"`
	// StartAt is when to begin. Defaults to at once.
	StartAt time.Time `json:"start_at,omitzero"`
	// EndAt is when to stop: nothing is posted after it. Defaults to never.
	EndAt time.Time `json:"end_at,omitzero"`
	// Rate is the most messages a second, below the account's limit; decimals are fine.
	// Defaults to what the account has left.
	Rate float64 `json:"rate,omitempty"`
	// Priority is [jobs.PriorityBulk] (default) or [jobs.PriorityNormal].
	Priority string `json:"priority,omitempty"`
	// MaxSegments is how many segments a text may have, at most 23. Defaults to
	// [DefaultMaxSegments].
	MaxSegments int `json:"max_segments,omitempty"`
	// SendingHours are the hours of the recipient in which to text, such as
	// "08:00-21:00"; "00:00-24:00" is always. Defaults to the service's SENDING_HOURS.
	SendingHours string `json:"sending_hours,omitempty"`
	// Key makes the campaign idempotent: the same again is the same campaign.
	Key string `json:"key,omitempty"`
}

// Senders are numbers as people write them.
type Senders []string

// UnmarshalJSON takes one number or a list.
func (s *Senders) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = Senders{one}
		return nil
	}
	var many []string
	if json.Unmarshal(b, &many) != nil {
		return errors.New("from: give a number, or a list of numbers, as text")
	}
	*s = many
	return nil
}

// plan is a spec that was checked, ready for rows.
type plan struct {
	spec     Spec // normal: numbers as E.164, defaults filled in
	senders  []flowroute.E164
	template *template.Template
	fields   []template.Field
}

// maxSegments is what the longest message may have at all.
const maxSegments = 23

// plan checks a spec, all of it at once. Errors: [*jobs.ValidationError].
func (s Spec) plan(now time.Time) (*plan, error) {
	var d problems
	p := &plan{spec: s}
	d.name("name", s.Name, MaxName)
	d.name("key", s.Key, maxKey)
	p.spec.Key = ""
	p.senders = d.senders(s.From)
	p.spec.From = nil
	for _, sender := range p.senders {
		p.spec.From = append(p.spec.From, sender.String())
	}
	p.spec.Template = cmp.Or(s.Template, DefaultTemplate)
	var err error
	if p.template, err = template.Parse(p.spec.Template); err != nil {
		d.refuse("template", jobs.CodeInvalid, err.Error())
	} else {
		p.fields = p.template.Fields()
	}
	d.times(s, now)
	if math.IsNaN(s.Rate) || s.Rate < 0 || s.Rate > MaxRate || s.Rate > 0 && s.Rate < 0.001 {
		d.refuse("rate", jobs.CodeInvalid, fmt.Sprintf("give messages a second from 0.001 to %d, or leave it out", MaxRate))
	}
	p.spec.Priority = cmp.Or(s.Priority, jobs.PriorityBulk)
	if p.spec.Priority != jobs.PriorityBulk && p.spec.Priority != jobs.PriorityNormal {
		d.refuse("priority", jobs.CodeInvalid, "use bulk or normal; otp is for single messages")
	}
	p.spec.MaxSegments = cmp.Or(s.MaxSegments, DefaultMaxSegments)
	if p.spec.MaxSegments < 1 || p.spec.MaxSegments > maxSegments {
		d.refuse("max_segments", jobs.CodeInvalid, fmt.Sprintf("give 1 to %d", maxSegments))
	}
	if s.SendingHours != "" {
		if _, err := jobs.ParseSendingHours(s.SendingHours); err != nil {
			d.refuse("sending_hours", jobs.CodeInvalid, err.Error())
		}
	}
	p.spec.StartAt, p.spec.EndAt = s.StartAt.UTC(), s.EndAt.UTC()
	return p, d.err()
}

// Validate reports all that is wrong, as a [*jobs.ValidationError]. [Store.Create] does
// it too.
func (s Spec) Validate(now time.Time) error {
	_, err := s.plan(now)
	return err
}

// ID is the campaign's id: of its key, else of its content and that of its recipients,
// for which the caller gives a hash. Without either each call draws a new one.
func (s Spec) ID(recipients []byte) ledger.ID {
	switch {
	case s.Key != "":
		return ledger.CampaignID("key " + s.Key)
	case len(recipients) > 0:
		return ledger.CampaignID("content " + s.hash() + hex.EncodeToString(recipients))
	}
	return ledger.NewCampaignID()
}

// hash is of what the campaign asks.
func (s Spec) hash() string {
	s.Key = ""
	s.From = slices.Clone(s.From)
	for i, text := range s.From {
		if number, err := flowroute.ParseE164(text); err == nil {
			s.From[i] = number.String()
		}
	}
	s.Template, s.Priority, s.MaxSegments = cmp.Or(s.Template, DefaultTemplate), cmp.Or(s.Priority, jobs.PriorityBulk), cmp.Or(s.MaxSegments, DefaultMaxSegments)
	s.StartAt, s.EndAt = s.StartAt.UTC(), s.EndAt.UTC()
	sum := sha256.Sum256(s.encode())
	return hex.EncodeToString(sum[:16])
}

func (s Spec) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // texts, times and a number that was checked
	}
	return b
}

// sender is the number that texts a recipient: the same one each time, and for most
// recipients also after a number came or went (rendezvous hashing).
func (p *plan) sender(to flowroute.E164) flowroute.E164 {
	if len(p.senders) == 1 {
		return p.senders[0]
	}
	best, most := p.senders[0], uint64(0)
	for _, sender := range p.senders {
		h := fnv.New64a()
		_, _ = h.Write([]byte(sender.Digits() + to.Digits()))
		if sum := mix(h.Sum64()); sum >= most {
			best, most = sender, sum
		}
	}
	return best
}

// mix spreads what a weak hash left in the low bits (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// problems collects what is wrong with a spec.
type problems []jobs.FieldError

func (d *problems) refuse(field, code, message string) {
	*d = append(*d, jobs.FieldError{Field: field, Code: code, Message: message})
}

func (d problems) err() error {
	if len(d) == 0 {
		return nil
	}
	return &jobs.ValidationError{Problems: d}
}

func (d *problems) name(field, value string, most int) {
	switch {
	case !utf8.ValidString(value):
		d.refuse(field, jobs.CodeNotUTF8, "must be UTF-8")
	case utf8.RuneCountInString(value) > most:
		d.refuse(field, jobs.CodeTooLong, fmt.Sprintf("has %d characters: use at most %d", utf8.RuneCountInString(value), most))
	case strings.TrimSpace(value) != value:
		d.refuse(field, jobs.CodeInvalid, "begins or ends with a space: take it away")
	case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		d.refuse(field, jobs.CodeControl, "has a control or invisible character: use printable ones")
	}
}

func (d *problems) senders(texts Senders) []flowroute.E164 {
	if len(texts) == 0 {
		d.refuse("from", jobs.CodeRequired, "give a number like +12065550100, or several")
	}
	if len(texts) > MaxSenders {
		d.refuse("from", jobs.CodeTooMany, fmt.Sprintf("has %d numbers: use at most %d", len(texts), MaxSenders))
		return nil
	}
	var senders []flowroute.E164
	for i, text := range texts {
		number, err := flowroute.ParseE164(text)
		field := "from"
		if len(texts) > 1 {
			field = fmt.Sprintf("from[%d]", i)
		}
		switch {
		case err != nil:
			reason := "is no phone number"
			if bad, ok := errors.AsType[*flowroute.NumberError](err); ok {
				reason = bad.Reason
			}
			d.refuse(field, jobs.CodeInvalid, reason+" (want a number like +12065550100)")
		case !slices.Contains(senders, number):
			senders = append(senders, number)
		}
	}
	return senders
}

func (d *problems) times(s Spec, now time.Time) {
	start := now
	switch {
	case s.StartAt.IsZero():
	case s.StartAt.Before(now.Add(-time.Minute)):
		d.refuse("start_at", jobs.CodeInPast, "is in the past: give a later time, or leave it out to begin at once")
	case s.StartAt.After(now.Add(ahead)):
		d.refuse("start_at", jobs.CodeTooFar, "is more than a year ahead: give an earlier time")
	default:
		start = s.StartAt
	}
	switch {
	case s.EndAt.IsZero():
	case !s.EndAt.After(now):
		d.refuse("end_at", jobs.CodeInPast, "is in the past: give a later time, or leave it out")
	case !s.EndAt.After(start):
		d.refuse("end_at", jobs.CodeContradiction, "is not after start_at: give a later time")
	case s.EndAt.After(start.Add(ahead)):
		d.refuse("end_at", jobs.CodeTooFar, "is more than a year after the start: give an earlier time")
	}
}
