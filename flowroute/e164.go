package flowroute

import (
	"fmt"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// E164 is a phone number in international form. It is comparable, fits a map key,
// and its zero value is no number. It was valid when it was made: see [ParseE164].
type E164 struct{ n uint64 }

const (
	minDigits  = 8 // of an E.164 number, country code included
	maxDigits  = 15
	nanpDigits = 10   // of a North American number without its 1
	nanpPrefix = 1e10 // the 1 itself
)

// NumberError says why something is no phone number. It shows no more of the
// input than its last four digits.
type NumberError struct {
	Input  string // masked: "…1234"
	Reason string // "has no country code"
}

func (e *NumberError) Error() string {
	return fmt.Sprintf("phone number %q %s", e.Input, e.Reason)
}

// The reasons of a NumberError.
const (
	reasonEmpty     = "has no digits"
	reasonCharacter = "contains something that is neither a digit nor a separator"
	reasonPlus      = "has a + that is not at its beginning"
	reasonBrackets  = "has brackets that do not match"
	reasonTrunk     = "has a trunk prefix (0), which an international number leaves out"
	reasonZero      = "begins with 0, as no country code does"
	reasonCountry   = "has no country code: it needs +, or ten digits with an area code"
	reasonShort     = "is too short"
	reasonLong      = "is too long"
	reasonNANP      = "does not have ten digits after +1"
	reasonArea      = "has an area code that is not in use"
	reasonExchange  = "has an exchange that is not in use in its area code"
)

// ParseE164 parses a phone number as people type it: in any of the forms
// "+1 (206) 555-1234", "12065551234", "206.555.1234" for North America, where the
// country code may be left out, and with + for the rest of the world. Digits may
// be grouped by spaces, dots, dashes and brackets. Letters and extensions are
// refused.
//
// A +1 number must have an area code and an exchange that are in use, by the
// metadata of libphonenumber; nothing says that the number itself is. Others must
// have 8 to 15 digits. The error is a [*NumberError].
func ParseE164(s string) (E164, error) {
	var (
		n              uint64
		digits         int
		plus, brackets bool
	)
	for i := 0; i < len(s); i++ {
		ch := s[i]
		if digit := ch - '0'; digit <= 9 {
			switch {
			case digit == 0 && digits == 0:
				return refuse(s, reasonZero)
			case digit == 0 && s[i-1] == '(':
				return refuse(s, reasonTrunk)
			case digits == maxDigits:
				return refuse(s, reasonLong)
			}
			n = n*10 + uint64(digit)
			digits++
			continue
		}
		switch ch {
		case ' ', '-', '.', '\t':
		case '+':
			if plus || digits > 0 {
				return refuse(s, reasonPlus)
			}
			plus = true
		case '(', ')':
			if brackets == (ch == '(') {
				return refuse(s, reasonBrackets)
			}
			brackets = !brackets
		default:
			size := separator(s[i:])
			if size == 0 {
				return refuse(s, reasonCharacter)
			}
			i += size - 1
		}
	}
	switch {
	case brackets:
		return refuse(s, reasonBrackets)
	case digits == 0:
		return refuse(s, reasonEmpty)
	case plus:
	case digits == nanpDigits:
		n += nanpPrefix
		digits++
	case digits != nanpDigits+1 || n/nanpPrefix != 1:
		return refuse(s, reasonCountry)
	}
	if reason := check(n, digits); reason != "" {
		return refuse(s, reason)
	}
	return E164{n}, nil
}

// E164FromUint64 is the inverse of [E164.Uint64], for numbers that were stored: it
// checks how many digits there are, and not which area codes and exchanges are in
// use, since tables of those change while a number is stored.
func E164FromUint64(n uint64) (E164, error) {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	switch {
	case len(text) < minDigits:
		return refuse(string(text), reasonShort)
	case len(text) > maxDigits:
		return refuse(string(text), reasonLong)
	}
	return E164{n}, nil
}

// check returns what is wrong with a number, country code included.
func check(n uint64, digits int) string {
	switch {
	case digits == nanpDigits+1 && n/nanpPrefix == 1:
		return checkNANP(n - nanpPrefix)
	case digits < minDigits:
		return reasonShort
	case digits > maxDigits:
		return reasonLong
	case startsWithOne(n):
		return reasonNANP
	default:
		return ""
	}
}

func checkNANP(national uint64) string {
	switch area, exchange := nanpInUse(national); {
	case !area:
		return reasonArea
	case !exchange:
		return reasonExchange
	default:
		return ""
	}
}

func startsWithOne(n uint64) bool {
	for n >= 10 {
		n /= 10
	}
	return n == 1
}

// separator returns the length of the separator beyond ASCII that s begins with,
// 0 when there is none: word processors put them for spaces and dashes.
func separator(s string) int {
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == '\u00A0' || r == '\u202F', '\u2000' <= r && r <= '\u200A': // spaces
		return size
	case '\u2010' <= r && r <= '\u2015': // dashes
		return size
	default:
		return 0
	}
}

func refuse(input, reason string) (E164, error) {
	return E164{}, &NumberError{Input: lastFour(input), Reason: reason}
}

// lastFour returns the last four digits of s with an ellipsis before them.
func lastFour(s string) string {
	const shown = 4
	var last [shown]byte
	at := shown
	for i := len(s) - 1; i >= 0 && at > 0; i-- {
		if '0' <= s[i] && s[i] <= '9' {
			at--
			last[at] = s[i]
		}
	}
	return "…" + string(last[at:])
}

// e164FromAPI takes a number as Flowroute states it: digits, perhaps with a +.
// What Flowroute has is a number, whatever our table of area codes says.
func e164FromAPI(s text) (E164, error) {
	digits := string(s)
	if len(digits) > 0 && digits[0] == '+' {
		digits = digits[1:]
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) > maxDigits || digits[0] == '0' {
		return refuse(digits, "is not what a phone number looks like")
	}
	return E164{n}, nil
}

// IsZero reports whether e is no number.
func (e E164) IsZero() bool { return e.n == 0 }

// Uint64 returns the digits as an integer: 12065550100.
func (e E164) Uint64() uint64 { return e.n }

// String returns "+12065550100", and "" for no number. It shows the whole number:
// for logs there is [E164.LogValue].
func (e E164) String() string {
	if e.IsZero() {
		return ""
	}
	return string(strconv.AppendUint([]byte{'+'}, e.n, 10))
}

// Digits returns "12065550100", the form that Flowroute takes and gives.
func (e E164) Digits() string {
	if e.IsZero() {
		return ""
	}
	return strconv.FormatUint(e.n, 10)
}

// Masked returns the last four digits, "…0100", and "" for no number.
func (e E164) Masked() string {
	if e.IsZero() {
		return ""
	}
	return lastFour(e.Digits())
}

// LogValue makes logs show [E164.Masked].
func (e E164) LogValue() slog.Value { return slog.StringValue(e.Masked()) }

// MarshalText returns what [E164.String] does.
func (e E164) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText parses like [ParseE164]; the empty text is no number.
func (e *E164) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*e = E164{}
		return nil
	}
	parsed, err := ParseE164(string(b))
	if err != nil {
		return err
	}
	*e = parsed
	return nil
}
