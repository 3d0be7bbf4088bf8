package jobs

import (
	"strings"
	"unicode/utf8"
)

// quickMessage reads the JSON of a message as most are: texts without escapes in an
// object. It reports false where there is anything else, and where anything is wrong:
// then [door.decode], which takes ten times as long, reads it or tells what it is.
func quickMessage(b []byte) (m Message, ok bool) {
	if len(b) > MaxPayload || !utf8.Valid(b) {
		return Message{}, false
	}
	s := quickScanner{text: string(b)}
	targets := [...]struct {
		name string
		to   *string
		seen bool
	}{
		{name: "from", to: &m.From}, {name: "to", to: &m.To}, {name: "body", to: &m.Body}, {name: "key", to: &m.Key},
		{name: "priority", to: &m.Priority}, {name: "campaign", to: &m.Campaign}, {name: "sending_hours", to: &m.SendingHours},
	}
	if !s.is('{') {
		return Message{}, false
	}
fields:
	for {
		name, found := s.string()
		if !found || !s.is(':') {
			return Message{}, false
		}
		for i := range targets {
			target := &targets[i]
			if target.name != name {
				continue
			}
			if *target.to, found = s.string(); !found || target.seen {
				return Message{}, false
			}
			target.seen = true
			if s.is(',') {
				continue fields
			}
			return m, s.is('}') && s.ended()
		}
		return Message{}, false
	}
}

// quickScanner goes through JSON.
type quickScanner struct{ text string } // what is left

func (s *quickScanner) skip() {
	for len(s.text) > 0 && (s.text[0] == ' ' || s.text[0] == '\t' || s.text[0] == '\r' || s.text[0] == '\n') {
		s.text = s.text[1:]
	}
}

func (s *quickScanner) ended() bool {
	s.skip()
	return s.text == ""
}

// is takes a character, if it is the next one.
func (s *quickScanner) is(c byte) bool {
	s.skip()
	if s.text == "" || s.text[0] != c {
		return false
	}
	s.text = s.text[1:]
	return true
}

// string takes a string, unless it has escapes.
func (s *quickScanner) string() (value string, ok bool) {
	if !s.is('"') {
		return "", false
	}
	end := strings.IndexByte(s.text, '"')
	if end < 0 {
		return "", false
	}
	value, s.text = s.text[:end], s.text[end+1:]
	for i := range len(value) {
		if value[i] < ' ' || value[i] == '\\' {
			return "", false
		}
	}
	return value, true
}
