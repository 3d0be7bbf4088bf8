package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/config"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	tests := map[string]config.Rate{
		"5":      {N: 5, Per: time.Second},
		"5/s":    {N: 5, Per: time.Second},
		"5/2":    {N: 5, Per: 2 * time.Second},
		"1/0.5":  {N: 1, Per: 500 * time.Millisecond},
		"0.5":    {N: 1, Per: 2 * time.Second},
		"0.5/s":  {N: 1, Per: 2 * time.Second},
		"0.3":    {N: 1, Per: 3334 * time.Millisecond},
		"2.5":    {N: 5, Per: 2 * time.Second},
		"1.0":    {N: 1, Per: time.Second},
		"1.001":  {N: 1001, Per: 1000 * time.Second},
		"10000":  {N: 10_000, Per: time.Second},
		"1/3600": {N: 1, Per: time.Hour},
		"0":      {},
		"0.0":    {},
		"0/5":    {},
	}
	for text, want := range tests {
		got, err := config.ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "-1", "+1", "NaN", "Inf", "1e3", "0x10", "1_000", ".", ".5", "5.", "1.2345", "five", "5/", "/5", "5/0", "1.5/2",
		"5/-1", "5 ", "5/s/s", "5/m", "10001", "10000/0.5", "0.0001", "1/3601", "99999999999999999999",
	} {
		if got, err := config.ParseRate(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

// The limiter reads rates too, from flags and requests; both must mean the
// same by one text.
func FuzzParseRateAgreesWithLimiter(f *testing.F) {
	for _, text := range []string{"5", "5/2", "0.5/s", "2.5", "0", "1/3600", "10000", "1/0.5", "0.3", "-1", "NaN", "5/0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ours, err := config.ParseRate(text)
		if err != nil {
			return
		}
		theirs, err := ratelimit.ParseRate(text)
		if err != nil {
			t.Fatalf("%q: got %+v, but the limiter refuses it: %v", text, ours, err)
		}
		if ours.N != theirs.N || ours.Per != theirs.Per {
			t.Errorf("%q: got %+v, the limiter %+v", text, ours, theirs)
		}
	})
}

// Whatever is in the environment, Load answers with a config or with
// problems, and does not panic.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{"TZ=", "TZ= *", "*/0 * * * *", "5%/1000", "0.0040", "+12065550100=0.5/s,2000/d", "08:00-21:00", "http://[::1", "a:0123456789abcdef"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env := map[string]string{}
		for _, v := range config.Variables() {
			env[v.Name] = text
		}
		_, err := load(t, env)
		for _, p := range problems(t, err) {
			if p.Variable == "" || !strings.HasPrefix(p.Rule, "must ") {
				t.Errorf("%q: a problem without name or rule: %+v", text, p)
			}
			if _, isProblem := errors.AsType[*config.Problem](error(p)); !isProblem {
				t.Errorf("%q: got %T", text, p)
			}
		}
	})
}
