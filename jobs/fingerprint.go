package jobs

import (
	"strings"
	"unicode"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Fingerprint is what a message and its record at Flowroute have in common:
// sender, recipient and [NormalBody]; of an MMS sender and recipient alone, since
// the record of one says too little of its text. Messages with one fingerprint
// cannot be told apart there, so they are resolved together. from and to are 11
// digits.
func Fingerprint(from, to, body string, mms bool) ledger.Fingerprint {
	c := &content{form: make([]byte, 0, 256)}
	c.add("from", from)
	c.add("to", to)
	if mms {
		c.add("mms", "1")
	} else {
		c.add("body", NormalBody(body))
	}
	return ledger.Fingerprint(c.sum())
}

// FingerprintOf is the fingerprint of a message that is to be posted.
func FingerprintOf(m flowroute.Message) ledger.Fingerprint {
	return Fingerprint(m.From.Digits(), m.To.Digits(), m.Body, m.MMS())
}

// NormalBody is a text without what is known to change on its way into a record:
// white space of any kind, at the ends and in its width, marks that are not seen,
// and typographic quotes and dashes. It is for comparing only.
func NormalBody(body string) string {
	body = strings.Map(func(r rune) rune {
		switch r {
		case '\u2018', '\u2019', '\u201a', '\u201b', '\u2032', '`', '\u00b4':
			return '\''
		case '\u201c', '\u201d', '\u201e', '\u201f', '\u2033', '\u00ab', '\u00bb':
			return '"'
		case '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2015', '\u2212':
			return '-'
		case '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', '\u00ad':
			return -1
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.ReplaceAll(body, "\u2026", "..."))
	return strings.Join(strings.Fields(body), " ")
}
