package flowroute_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// FuzzParseE164: what is accepted has the form of E.164 and parses to itself; what
// is refused shows no more than four digits.
func FuzzParseE164(f *testing.F) {
	for _, seed := range []string{
		"", "+1 (206) 555-1234", "12065551234", "2065551234", "+44 20 7946 0958", "+44 (0)20 7946 0958",
		"1-800-FLOWERS", "206\u00a0555\u20131234", "((", "++1", "8766060123", "\xff", "000000000000000000000",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := flowroute.ParseE164(s)
		if err != nil {
			e, ok := errors.AsType[*flowroute.NumberError](err)
			if !ok || !n.IsZero() {
				t.Fatalf("%q: got %v, %T", s, n, err)
			}
			if digits := strings.Map(onlyDigits, e.Input); len(digits) > 4 {
				t.Errorf("%q: the error shows %q", s, e.Input)
			}
			return
		}
		digits := n.Digits()
		if len(digits) < 8 || len(digits) > 15 || digits[0] == '0' || !strings.HasSuffix(digits, strings.Map(onlyDigits, s)) {
			t.Errorf("%q: got %q", s, digits)
		}
		for _, same := range []string{n.String(), "+" + digits} {
			if again, err := flowroute.ParseE164(same); err != nil || again != n {
				t.Errorf("%q: got %v, %v, want %v", same, again, err, n)
			}
		}
		if again, err := flowroute.E164FromUint64(n.Uint64()); err != nil || again != n {
			t.Errorf("%d: got %v, %v", n.Uint64(), again, err)
		}
	})
}

func onlyDigits(r rune) rune {
	if '0' <= r && r <= '9' {
		return r
	}
	return -1
}

// FuzzSegments compares with the table written in the plainest way.
func FuzzSegments(f *testing.F) {
	for _, seed := range []string{"", "hello", strings.Repeat("a", 161), "5€", "’", strings.Repeat("😀", 36), "\xff\xfe", "a\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		want, encoding := 0, flowroute.EncodingASCII
		ascii := !strings.ContainsFunc(body, func(r rune) bool { return r > unicode.MaxASCII })
		switch units := len(utf16.Encode([]rune(body))); {
		case !ascii:
			want, encoding = (units+69)/70, flowroute.EncodingUCS2
		case units == 0:
		case units <= 160:
			want = 1
		default:
			want = (units + 139) / 140
		}
		if got, enc := flowroute.Segments(body); got != want || enc != encoding {
			t.Errorf("%q: got %d, %q, want %d, %q", body, got, enc, want, encoding)
		}
	})
}

// FuzzAPIError: whatever the body, the error prints, in bounds, as text, and
// without the credentials.
func FuzzAPIError(f *testing.F) {
	bodies, err := filepath.Glob("testdata/error_*.json")
	if err != nil || len(bodies) == 0 {
		f.Fatal(bodies, err)
	}
	for _, name := range bodies {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(400, body)
	}
	for _, body := range []string{"", "<html>", "null", `{"errors":{}}`, `{"errors":[[]]}`, `{"errors":[{"detail":{"a":{"b":[1]}}}]}`, `{"errors":[{"detail":"` + secretKey + `"}]}`} {
		f.Add(500, []byte(body))
	}
	c := newClient(f, "http://127.0.0.1:1")
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := c.ReadError(status, body)
		text := e.Error()
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("not fit to print: %q", text)
		}
		if len(text) > 4096 {
			t.Errorf("got %d bytes of text", len(text))
		}
		expectNoSecrets(t, "error", text)
		if (e.Title != "" || e.Detail != "" || e.RequestID != "" || e.Code != "") && !e.Envelope {
			t.Errorf("fields without an envelope: %+v", e)
		}
	})
}
