package suppress

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Errors that callers branch on.
var (
	// ErrNewerVersion: the entry was written by a newer version; whether it blocks is
	// not known here.
	ErrNewerVersion = errors.New("the stored opt-out was written by a newer version")
	// ErrBadCursor: the text is no cursor of [Store.List].
	ErrBadCursor = errors.New("not a cursor of this listing")
)

// Source is what made an entry.
type Source string

// The sources. What the first two made, only a person takes back.
const (
	SourcePerson  Source = "person"  // somebody on our side
	SourceImport  Source = "import"  // a list
	SourceCarrier Source = "carrier" // a post was answered 400 with code 1110
	SourceStop    Source = "stop"    // the recipient's own word, like STOP
)

// Entry is one opt-out.
type Entry struct {
	Recipient flowroute.E164
	From      flowroute.E164 // our number; zero: all of them
	Source    Source
	Time      time.Time // since when, to the millisecond
	// Note is a person's, up to [MaxNote] bytes. Entries of [SourceCarrier] and
	// [SourceStop] have none.
	Note string
}

// Why says in a sentence why a message is blocked. Of numbers it shows the last four
// digits of ours.
func (e Entry) Why() string {
	whom := "us"
	if !e.From.IsZero() {
		whom = "our number " + e.From.Masked()
	}
	return "the recipient opted out of texts from " + whom + " on " + e.Time.UTC().Format(time.DateOnly) + " (" + string(e.Source) + "); see optout list"
}

// Pair is a message to be, as far as opt-outs are concerned.
type Pair struct{ From, To flowroute.E164 }

// Checker says who must not be texted; it is a [*Store].
type Checker interface {
	// Blocked returns the entry that forbids to text to from this number of ours, and
	// whether there is one. A zero from asks for any of ours. After an error it is not
	// known: do not post.
	Blocked(ctx context.Context, from, to flowroute.E164) (Entry, bool, error)
	// BlockedMany is Blocked for many, in few round trips: the pairs that are blocked, by
	// their place in the list. It may be given any number of pairs.
	BlockedMany(ctx context.Context, pairs []Pair) (map[int]Entry, error)
}

var _ Checker = (*Store)(nil)

// MaxNote is how long a note may be, in bytes: as long as Redis can keep the
// bucket it is in flat.
const MaxNote = 48

// The codes of an [InvalidError], the same as elsewhere at the door.
const (
	CodeRequired  = "required"
	CodeInvalid   = "invalid"
	CodeTooLong   = "too_long"
	CodeMalformed = "malformed"
)

// InvalidError says what is wrong with an entry and what to do. Nothing was taken.
type InvalidError struct {
	Field   string // recipient, from, time, note, source; empty: the whole
	Code    string // one of the Code constants
	Message string // what to do; of numbers it shows nothing
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

func invalid(field, code, format string, args ...any) *InvalidError {
	return &InvalidError{Field: field, Code: code, Message: fmt.Sprintf(format, args...)}
}

// ahead is how far a clock may be before ours.
const ahead = 5 * time.Minute

// earliest is the time before which nobody can have opted out of anything here.
func earliest() time.Time { return time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC) }

// check completes an entry that is to be added, or says what is wrong with it.
func (e *Entry) check(now time.Time) error {
	if e.Time.IsZero() {
		e.Time = now
	}
	switch e.Source {
	case SourcePerson, SourceImport:
	case SourceCarrier, SourceStop:
		if e.Note != "" {
			return invalid("note", CodeInvalid, "only a person's entry and a list's have notes")
		}
		if e.Time.After(now.Add(ahead)) { // that it was asked for is certain, if not when
			e.Time = now
		}
	default:
		return invalid("source", CodeInvalid, "give person, import, carrier or stop")
	}
	switch {
	case e.Recipient.IsZero():
		return invalid("recipient", CodeRequired, "give a number like +12065550100")
	case e.Time.After(now.Add(ahead)):
		return invalid("time", CodeInvalid, "is in the future: give when they opted out, or leave it out")
	case e.Time.Before(earliest()):
		return invalid("time", CodeInvalid, "is before %d: give when they opted out, or leave it out", earliest().Year())
	case len(e.Note) > MaxNote:
		return invalid("note", CodeTooLong, "has %d bytes: use at most %d", len(e.Note), MaxNote)
	case e.Note != tidy(e.Note):
		return invalid("note", CodeInvalid, "has control characters, spaces at an end, or is not UTF-8")
	}
	return nil
}

// tidy makes a text fit to be a note, except for its length.
func tidy(note string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(note, "?")))
}

// shorten cuts a note to its length, between characters.
func shorten(note string) string {
	if len(note) <= MaxNote {
		return note
	}
	const dots = "…"
	cut := MaxNote - len(dots)
	for !utf8.RuneStart(note[cut]) {
		cut--
	}
	return note[:cut] + dots
}
