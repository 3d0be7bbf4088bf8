package intake

import (
	"bytes"
	"errors"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// numbers reads the recipients. It keeps its few messages, so that a million
// broken rows cost no more than a million good ones.
type numbers struct {
	messages map[string]string
}

const wantNumber = "want a number like +12065550100"

// read does what the door of package jobs does with a number, and knows besides
// how spreadsheets and data frames write one that they took for a quantity.
func (n *numbers) read(field string, text []byte) (flowroute.E164, jobs.FieldError, bool) {
	if blank(text) {
		return flowroute.E164{}, problem(field, jobs.CodeRequired, "is missing: give a number like +12065550100"), false
	}
	number, err := flowroute.ParseE164(string(withoutZeros(text)))
	if err == nil {
		return number, jobs.FieldError{}, true
	}
	reason := "is no phone number"
	if bad, ok := errors.AsType[*flowroute.NumberError](err); ok {
		reason = bad.Reason
	}
	if digits, exact, ok := scientific(text); ok {
		if !exact {
			return flowroute.E164{}, problem(field, jobs.CodeInvalid, "is a number that a spreadsheet has rounded, like 1.20656E+10: format the column as text there, and save the file again"), false
		}
		if number, err := flowroute.ParseE164(string(digits)); err == nil {
			return number, jobs.FieldError{}, true
		}
	}
	return flowroute.E164{}, problem(field, jobs.CodeInvalid, n.message(reason)), false
}

func (n *numbers) message(reason string) string {
	if n.messages == nil {
		n.messages = map[string]string{}
	}
	message, ok := n.messages[reason]
	if !ok {
		message = reason + " (" + wantNumber + ")"
		n.messages[reason] = message
	}
	return message
}

// withoutZeros takes the decimals from 12065551234.0, which would read as one
// more digit: dots may stand between digits.
func withoutZeros(text []byte) []byte {
	end := len(text)
	for end > 0 && text[end-1] == '0' {
		end--
	}
	if end == len(text) || end == 0 || text[end-1] != '.' {
		return text
	}
	digits := 0
	for i, c := range text[:end-1] {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case c == '+' && i == 0:
		default:
			return text
		}
	}
	if digits < 8 {
		return text
	}
	return text[:end-1]
}

// scientific reads 1.2065551234E+10, and 1,2065551234E+10 as half of Europe
// writes it. It is exact when it has all its digits; what has fewer was rounded,
// or ends in zeros: nobody knows.
func scientific(text []byte) (digits []byte, exact, ok bool) {
	text = bytes.TrimSpace(text)
	mantissa, exponentText, found := bytes.Cut(bytes.ToUpper(text), []byte("E"))
	if !found {
		return nil, false, false
	}
	exponent, found := smallNumber(bytes.TrimPrefix(exponentText, []byte("+")))
	mantissa = bytes.TrimPrefix(mantissa, []byte("+"))
	point := bytes.IndexAny(mantissa, ".,")
	whole, decimals := mantissa, []byte(nil)
	if point >= 0 {
		whole, decimals = mantissa[:point], mantissa[point+1:]
	}
	if !found || len(whole) == 0 || !allDigits(whole) || !allDigits(decimals) {
		return nil, false, false
	}
	if len(decimals) < exponent || len(bytes.Trim(decimals[exponent:], "0")) > 0 {
		return nil, false, true
	}
	return append(bytes.Clone(whole), decimals[:exponent]...), true, true
}

func smallNumber(text []byte) (int, bool) {
	if len(text) == 0 || len(text) > 2 || !allDigits(text) {
		return 0, false
	}
	n := 0
	for _, c := range text {
		n = n*10 + int(c-'0')
	}
	return n, true
}

func allDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
