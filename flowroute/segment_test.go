package flowroute_test

import (
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

func TestSegments(t *testing.T) {
	t.Parallel()
	a, e, emoji := func(n int) string { return strings.Repeat("a", n) }, func(n int) string { return strings.Repeat("é", n) },
		func(n int) string { return strings.Repeat("😀", n) }
	tests := []struct {
		name string
		body string
		n    int
		enc  flowroute.Encoding
	}{
		{"empty", "", 0, flowroute.EncodingASCII},
		{"one", "a", 1, flowroute.EncodingASCII},
		{"160", a(160), 1, flowroute.EncodingASCII},
		{"161", a(161), 2, flowroute.EncodingASCII},
		{"280", a(280), 2, flowroute.EncodingASCII},
		{"281", a(281), 3, flowroute.EncodingASCII},
		{"420", a(420), 3, flowroute.EncodingASCII},
		{"GSM-7 but not ASCII", "5€", 1, flowroute.EncodingUCS2},
		{"70", e(70), 1, flowroute.EncodingUCS2},
		{"71", e(71), 2, flowroute.EncodingUCS2},
		{"140", e(140), 2, flowroute.EncodingUCS2},
		{"141", e(141), 3, flowroute.EncodingUCS2},
		{"a curly quote in 160", a(159) + "’", 3, flowroute.EncodingUCS2},
		{"35 emoji", emoji(35), 1, flowroute.EncodingUCS2},
		{"36 emoji", emoji(36), 2, flowroute.EncodingUCS2},
		{"last ASCII", strings.Repeat("\x7f", 160), 1, flowroute.EncodingASCII},
		{"not UTF-8", strings.Repeat("\xff", 71), 2, flowroute.EncodingUCS2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if n, enc := flowroute.Segments(test.body); n != test.n || enc != test.enc {
				t.Errorf("got %d, %q, want %d, %q", n, enc, test.n, test.enc)
			}
		})
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want flowroute.Money
		text string
	}{
		{"0", 0, "$0.00"},
		{"1", 1_000_000_000, "$1.00"},
		{"1.25", 1_250_000_000, "$1.25"},
		{"3.99", 3_990_000_000, "$3.99"},
		{"$0.0040", 4_000_000, "$0.004"},
		{"1e-3", 1_000_000, "$0.001"},
		{"-2.5", -2_500_000_000, "-$2.50"},
		{"0.000000001", 1, "$0.000000001"},
		{"0.0000000004", 0, "$0.00"},
		{"0.0000000005", 1, "$0.000000001"},
		{"0.30000000000000004", 300_000_000, "$0.30"},
		{"9223372036.854775807", 1<<63 - 1, "$9223372036.854775807"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got, err := flowroute.ParseMoney(test.in)
			if err != nil || got != test.want || got.String() != test.text {
				t.Errorf("got %d (%v), %v, want %d (%s)", got, got, err, test.want, test.text)
			}
		})
	}
	for _, bad := range []string{"", "$", "free", "1,25", "0x10", "Inf", "NaN", "9223372036.854775808", "1e1000000000", "1 "} {
		if got, err := flowroute.ParseMoney(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}
