package jobs

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxKey      = 255
	maxCampaign = 100
	maxAlias    = 64 // Flowroute's bound for the alias of a number
)

// name checks a producer's own word: a key, a campaign, an alias. Empty is fine.
func (d *door) name(field, value string, maxChars int) {
	switch {
	case !utf8.ValidString(value):
		d.refuse(field, CodeNotUTF8, "must be UTF-8")
	case utf8.RuneCountInString(value) > maxChars:
		d.refuse(field, CodeTooLong, "has %d characters: use at most %d", utf8.RuneCountInString(value), maxChars)
	case strings.TrimSpace(value) != value:
		d.refuse(field, CodeInvalid, "begins or ends with a space: take it away")
	case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		d.refuse(field, CodeControl, "has a control or invisible character: use printable ones")
	}
}

// control finds the first character that no phone shows and carriers choke on:
// control characters other than tab and line ends. It returns its place in
// characters, counted from 1, or 0.
func control(s string) (place int, char rune) {
	place = 0
	for _, r := range s {
		place++
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return place, r
		}
	}
	return 0, 0
}

// isDigits reports whether s has n to m characters, all of them digits.
func isDigits(s string, n, m int) bool {
	if len(s) < n || len(s) > m {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isWord reports whether s is made of ASCII letters and the characters of also.
func isWord(s, also string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && strings.IndexByte(also, s[i]) < 0 {
			return false
		}
	}
	return true
}
