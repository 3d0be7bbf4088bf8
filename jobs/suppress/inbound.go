package suppress

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Word is what a text from a recipient asks for.
type Word int

// What a text can ask for.
const (
	NoWord    Word = iota
	StopWord       // STOP, STOPALL, UNSUBSCRIBE, CANCEL, END, QUIT, REVOKE, OPTOUT
	StartWord      // START, UNSTOP
)

// ReadWord says what a text asks for. The whole text must be the word; case and what
// is neither letter nor digit are ignored. In doubt a text is a STOP rather than a
// START: only a STOP word may be written in parts, like "opt out".
func ReadWord(text string) Word {
	if len(text) > maxWord {
		return NoWord
	}
	var parts []string
	for part := range strings.FieldsSeq(strings.ToUpper(text)) {
		if part = strings.Map(onlyWord, part); part != "" {
			parts = append(parts, part)
		}
	}
	switch strings.Join(parts, "") {
	case "STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT":
		return StopWord
	case "START", "UNSTOP":
		if len(parts) == 1 {
			return StartWord
		}
	}
	return NoWord
}

// maxWord is much longer than any word with its decoration, in bytes.
const maxWord = 200

// onlyWord is for strings.Map.
func onlyWord(r rune) rune {
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		return r
	}
	return -1
}

// Applied counts what [Store.ApplyInbound] found and did.
type Applied struct {
	Stops, Starts int // records with such a word
	Added         int // entries that were not there before
	TakenBack     int // entries that a START or UNSTOP ended
}

// ApplyInbound reads STOP and START words in records of inbound messages, in the order
// of their time, and leaves all others alone. The records may come again, and in
// another order. A START from a time that has not come yet is ignored. Errors:
// [ErrNewerVersion], [ledger.ErrNotDurable], or Redis' own; then give it the same
// records again.
//
// Give it a record as soon as it is known: nothing else here reads inbound texts.
func (s *Store) ApplyInbound(ctx context.Context, records []flowroute.MDR) (Applied, error) {
	words := s.wordsIn(records)
	var total Applied
	outcomes := make([]Applied, len(words)) // by place, since an edit may be made more than once
	edits := make([]edit, len(words))
	for i, w := range words {
		edits[i] = edit{w.entry.Recipient, func(r *record) { outcomes[i] = w.apply(r) }}
	}
	if err := s.change(ctx, edits); err != nil {
		return Applied{}, fmt.Errorf("apply opt-out words: %w", err)
	}
	for _, o := range outcomes {
		total.Stops, total.Starts = total.Stops+o.Stops, total.Starts+o.Starts
		total.Added, total.TakenBack = total.Added+o.Added, total.TakenBack+o.TakenBack
	}
	return total, nil
}

// wordRecord is an inbound message that was a word.
type wordRecord struct {
	word  Word
	entry Entry // as a STOP would make it
}

// wordsIn finds the words in the records, oldest first.
func (s *Store) wordsIn(records []flowroute.MDR) []wordRecord {
	var words []wordRecord
	for _, m := range records {
		if m.Direction != flowroute.Inbound {
			continue
		}
		w := wordRecord{ReadWord(m.Body), Entry{Recipient: numberIn(m.From), From: numberIn(m.To), Source: SourceStop, Time: m.Timestamp}}
		if w.word == NoWord || w.entry.Recipient.IsZero() {
			continue // nothing, or from a short code
		}
		now := s.now()
		if w.word == StartWord && (m.Timestamp.IsZero() || m.Timestamp.After(now.Add(ahead))) {
			continue // it would undo every STOP until then
		}
		if w.entry.check(now) != nil {
			w.entry.Time = now // it was asked for, whatever its time is
		}
		words = append(words, w)
	}
	slices.SortStableFunc(words, func(a, b wordRecord) int { return a.entry.Time.Compare(b.entry.Time) })
	return words
}

// numberIn reads a number as Flowroute writes it; zero when it is none.
func numberIn(digits string) flowroute.E164 {
	n, err := strconv.ParseUint(strings.TrimPrefix(digits, "+"), 10, 64)
	if err != nil {
		return flowroute.E164{}
	}
	number, err := flowroute.E164FromUint64(n)
	if err != nil {
		return flowroute.E164{}
	}
	return number
}

func (w wordRecord) apply(r *record) Applied {
	if w.word == StopWord {
		if r.add(w.entry) {
			return Applied{Stops: 1, Added: 1}
		}
		return Applied{Stops: 1}
	}
	slot := r.at(w.entry.From)
	before := slot.blocks()
	slot.start(millisOf(w.entry.Time))
	if before && !slot.blocks() {
		return Applied{Starts: 1, TakenBack: 1}
	}
	return Applied{Starts: 1}
}
