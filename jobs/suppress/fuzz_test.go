package suppress_test

import (
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// FuzzStored: whatever is stored is read without harm, and what is written of it is
// read as the same.
func FuzzStored(f *testing.F) {
	f.Add("\x81\x01\x00\x02")
	f.Add("\x81\x09\xd5\xf8\xb6\xf9\x2c\x02\x02")
	f.Add("\x01\x80\x00\x02")
	f.Fuzz(func(t *testing.T, value string) {
		once, err := suppress.Recode(value)
		if err != nil {
			return
		}
		if twice, err := suppress.Recode(once); err != nil || twice != once {
			t.Errorf("%q: got %q, %v, then %q", value, once, err, twice)
		}
	})
}

// FuzzReadRows: no list makes it fail, loop, or give rows out of order.
func FuzzReadRows(f *testing.F) {
	f.Add("\ufeffphone;note\r\n2065550001;\"a\r\nb\"\r\n")
	f.Add("\"\n\"\n\"\"\"\n,\",\n")
	f.Add("a,\"\n#\n2065550001,\"\n")
	f.Fuzz(func(t *testing.T, list string) {
		last := 0
		for row, err := range suppress.ReadRows(strings.NewReader(list)) {
			if err != nil {
				return
			}
			if row.Line <= last {
				t.Fatalf("row of line %d after one of line %d", row.Line, last)
			}
			last = row.Line
		}
	})
}
