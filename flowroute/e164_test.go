package flowroute_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/internal/race"
)

func TestParseE164(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"+1 (206) 555-1234", "+12065551234"},
		{"12065551234", "+12065551234"},
		{"2065551234", "+12065551234"},
		{"+12065551234", "+12065551234"},
		{"206.555.1234", "+12065551234"},
		{"206-555-1234", "+12065551234"},
		{"(206)555-1234", "+12065551234"},
		{"1 (206) 555 1234", "+12065551234"},
		{"  +1 206 555 1234\t", "+12065551234"},
		{"(+1) 206 555 1234", "+12065551234"},
		{"+1\u00a0206\u2011555\u20131234", "+12065551234"},
		{"1-800-356-9377", "+18003569377"},
		{"+44 20 7946 0958", "+442079460958"},
		{"+49 30 123456", "+4930123456"},
		{"+290 22222", "+29022222"},
		{"+883510000000094", "+883510000000094"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got, err := flowroute.ParseE164(test.in)
			if err != nil || got.String() != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestParseE164Refuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"", `phone number "…" has no digits`},
		{" + () ", `phone number "…" has no digits`},
		{"hello", `phone number "…" contains something that is neither a digit nor a separator`},
		{"1-800-FLOWERS", `phone number "…1800" contains something that is neither a digit nor a separator`},
		{"206-555-1234 x99", `phone number "…3499" contains something that is neither a digit nor a separator`},
		{"206\n5551234", `phone number "…1234" contains something that is neither a digit nor a separator`},
		{"٢٠٦٥٥٥١٢٣٤", `phone number "…" contains something that is neither a digit nor a separator`},
		{"206555123\xff", `phone number "…5123" contains something that is neither a digit nor a separator`},
		{"206+5551234", `phone number "…1234" has a + that is not at its beginning`},
		{"++12065551234", `phone number "…1234" has a + that is not at its beginning`},
		{"(206 5551234", `phone number "…1234" has brackets that do not match`},
		{"206) 5551234", `phone number "…1234" has brackets that do not match`},
		{"((206)) 5551234", `phone number "…1234" has brackets that do not match`},
		{"+44 (0)20 7946 0958", `phone number "…0958" has a trunk prefix (0), which an international number leaves out`},
		{"00442079460958", `phone number "…0958" begins with 0, as no country code does`},
		{"011 44 20 7946 0958", `phone number "…0958" begins with 0, as no country code does`},
		{"442079460958", `phone number "…0958" has no country code: it needs +, or ten digits with an area code`},
		{"5551234", `phone number "…1234" has no country code: it needs +, or ten digits with an area code`},
		{"22065551234", `phone number "…1234" has no country code: it needs +, or ten digits with an area code`},
		{"+1 206 555 123", `phone number "…5123" does not have ten digits after +1`},
		{"+1 206 555 12345", `phone number "…2345" does not have ten digits after +1`},
		{"+3101234", `phone number "…1234" is too short`},
		{"+4420794609581234", `phone number "…1234" is too long`},
		{"99999999999999999999999", `phone number "…9999" is too long`},
		{"1110000000", `phone number "…0000" has an area code that is not in use`},
		{"+1 200 555 1234", `phone number "…1234" has an area code that is not in use`},
		{"(206) 155-1234", `phone number "…1234" has an exchange that is not in use in its area code`},
		{"(242) 555-1234", `phone number "…1234" has an exchange that is not in use in its area code`},
		{"246 521 2000", `phone number "…2000" has an exchange that is not in use in its area code`},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got, err := flowroute.ParseE164(test.in)
			if _, ok := errors.AsType[*flowroute.NumberError](err); !ok || err.Error() != test.want || !got.IsZero() {
				t.Errorf("got %v, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

// valid is what libphonenumber says of a North American number.
func valid(national uint64) bool {
	return phonenumbers.IsValidNumber(&phonenumbers.PhoneNumber{
		CountryCode:    new(int32(1)),
		NationalNumber: &national,
	})
}

// accepts is what our table says.
func accepts(national uint64) bool {
	_, err := flowroute.ParseE164(strconv.FormatUint(1e10+national, 10))
	return err == nil
}

// TestNANPAgreesAtRandom compares the table with the library it is made from.
func TestNANPAgreesAtRandom(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(206, 555))
	yes, draws := 0, 200_000
	if race.Enabled {
		draws /= 20
	}
	for range draws {
		national := 2_000_000_000 + r.Uint64N(8_000_000_000)
		want := valid(national)
		if _, err := flowroute.ParseE164(fmt.Sprint("+1", national)); (err == nil) != want || accepts(national) != want {
			t.Fatalf("+1%d: got %v, want valid: %v", national, err, want)
		}
		if want {
			yes++
		}
	}
	if yes < draws/4 {
		t.Errorf("only %d of the numbers were valid: the comparison says little", yes)
	}
}

// TestNANPAgreesAtBoundaries compares both sides of every place where the table
// changes from one seven-digit prefix to the next.
func TestNANPAgreesAtBoundaries(t *testing.T) {
	t.Parallel()
	boundaries, before := 0, false
	for prefix := uint64(2_000_000); prefix < 10_000_000; prefix++ {
		now := accepts(prefix * 1000)
		if now == before {
			continue
		}
		boundaries++
		before = now
		for _, national := range []uint64{prefix*1000 - 1, prefix * 1000, prefix*1000 + 999} {
			if national < 2_000_000_000 {
				continue
			}
			if got, want := accepts(national), valid(national); got != want {
				t.Errorf("+1%d: got %v, want %v", national, got, want)
			}
		}
	}
	if boundaries < 1000 {
		t.Errorf("got %d boundaries, want the thousands there are", boundaries)
	}
}

// TestNANPAgreesWithinAreas compares one number of each exchange where an area
// code has an unusual set of them, and of some elsewhere: a block could
// be missing between two boundaries that agree.
func TestNANPAgreesWithinAreas(t *testing.T) {
	t.Parallel()
	among := uint64(1)
	if race.Enabled {
		among = 10
	}
	for npa := uint64(200); npa < 1000; npa += among {
		inUse := 0
		for nxx := range uint64(1000) {
			if accepts((npa*1000 + nxx) * 10_000) {
				inUse++
			}
		}
		step := uint64(1)
		if inUse == 0 || inUse == 800 { // none, or all that begin with 2 to 9
			step = 23
		}
		for nxx := uint64(0); nxx < 1000; nxx += step {
			national := (npa*1000+nxx)*10_000 + 1234
			if got, want := accepts(national), valid(national); got != want {
				t.Errorf("+1%d: got %v, want %v", national, got, want)
			}
		}
	}
}

func TestE164Forms(t *testing.T) {
	t.Parallel()
	n := mustE164("(206) 555-0100")
	var zero flowroute.E164

	for _, test := range []struct{ name, got, want string }{
		{"String", n.String(), "+12065550100"},
		{"Digits", n.Digits(), "12065550100"},
		{"Masked", n.Masked(), "…0100"},
		{"Sprint", fmt.Sprint(n), "+12065550100"},
		{"zero String", zero.String(), ""},
		{"zero Digits", zero.Digits(), ""},
		{"zero Masked", zero.Masked(), ""},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
	if !zero.IsZero() || n.IsZero() {
		t.Error("IsZero is wrong")
	}

	back, err := flowroute.E164FromUint64(n.Uint64())
	if err != nil || back != n {
		t.Errorf("E164FromUint64(%d): got %v, %v", n.Uint64(), back, err)
	}
	for _, bad := range []uint64{0, 1, 206555, 1 << 63} {
		if got, err := flowroute.E164FromUint64(bad); err == nil {
			t.Errorf("E164FromUint64(%d): got %v, want an error", bad, got)
		}
	}
	// A stored number stays one when its area code goes out of use.
	if got, err := flowroute.E164FromUint64(12005551234); err != nil || got.Digits() != "12005551234" {
		t.Errorf("area code that is not in use: got %v, %v", got, err)
	}
}

func TestE164InJSON(t *testing.T) {
	t.Parallel()
	type record struct {
		Number flowroute.E164
		None   flowroute.E164
		Names  map[flowroute.E164]string
	}
	in := record{Number: sender, Names: map[flowroute.E164]string{recipient: "desk"}}
	b, err := json.Marshal(in)
	if want := `{"Number":"+12065550100","None":"","Names":{"+12065550199":"desk"}}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v\nwant %s", b, err, want)
	}
	var out record
	if err := json.Unmarshal(b, &out); err != nil || out.Number != sender || !out.None.IsZero() || out.Names[recipient] != "desk" {
		t.Errorf("got %+v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"Number":"nobody"}`), &out); err == nil {
		t.Error("got no error for a number that is none")
	}
}

func TestE164InLogs(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("message sent", slog.Any("to", recipient))
	if !strings.Contains(b.String(), `"to":"…0199"`) {
		t.Errorf("got %s, want the number masked", b.String())
	}
}

// TestParseE164Allocates is not parallel, since AllocsPerRun measures the process.
func TestParseE164Allocates(t *testing.T) {
	for _, in := range []string{"+1 (206) 555-1234", "2065551234", "+44 20 7946 0958"} {
		if got := testing.AllocsPerRun(1000, func() { flowroute.ParseE164(in) }); got != 0 {
			t.Errorf("%q: got %v allocations, want none", in, got)
		}
	}
}
