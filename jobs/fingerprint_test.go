package jobs_test

import (
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// What is known to change on the way into a record makes no other text.
func TestNormalBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sent, recorded string
		same                 bool
	}{
		{"as it was", "hello", "hello", true},
		{"trimmed", " hello \n", "hello", true},
		{"white space", "a\u00a0b\r\nc  d", "a b c d", true},
		{"quotes", "it\u2019s \u201cso\u201d", `it's "so"`, true},
		{"dashes and dots", "a \u2014 b\u2026", "a - b...", true},
		{"not seen", "a\u200bb\ufeff", "ab", true},
		{"appended", "hello", "hello Reply STOP to opt out", false},
		{"redacted", "hello", "", false},
		{"case", "Hello", "hello", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			one := jobs.Fingerprint("12065550100", "12065550199", c.sent, false)
			two := jobs.Fingerprint("12065550100", "12065550199", c.recorded, false)
			if got := one == two; got != c.same {
				t.Errorf("got same %v, want %v", got, c.same)
			}
		})
	}
	text := jobs.Fingerprint("12065550100", "12065550199", "hello", false)
	if mms := jobs.Fingerprint("12065550100", "12065550199", "hello", true); mms == text {
		t.Error("an MMS has the fingerprint of a text")
	}
	if other := jobs.Fingerprint("12065550100", "12065550198", "hello", false); other == text {
		t.Error("another recipient has the same fingerprint")
	}
	if turned := jobs.Fingerprint("12065550199", "12065550100", "hello", false); turned == text {
		t.Error("the way back has the same fingerprint")
	}
	if a, b := jobs.Fingerprint("1", "2", "x", true), jobs.Fingerprint("1", "2", "y", true); a != b {
		t.Error("MMS are told apart by texts that their records do not show")
	}
}
