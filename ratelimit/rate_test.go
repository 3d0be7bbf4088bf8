package ratelimit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		want  ratelimit.Rate
		again string // as String writes it
	}{
		{"5", ratelimit.Rate{N: 5, Per: time.Second}, "5"},
		{" 5/s ", ratelimit.Rate{N: 5, Per: time.Second}, "5"},
		{"5/1", ratelimit.Rate{N: 5, Per: time.Second}, "5"},
		{"5/2", ratelimit.Rate{N: 5, Per: 2 * time.Second}, "5/2"},
		{"1/0.5", ratelimit.Rate{N: 1, Per: 500 * time.Millisecond}, "1/0.5"},
		{"0.5", ratelimit.Rate{N: 1, Per: 2 * time.Second}, "1/2"},
		{".5/s", ratelimit.Rate{N: 1, Per: 2 * time.Second}, "1/2"},
		{"0.3", ratelimit.Rate{N: 1, Per: 3334 * time.Millisecond}, "1/3.334"},
		{"2.5", ratelimit.Rate{N: 5, Per: 2 * time.Second}, "5/2"},
		{"1.0", ratelimit.Rate{N: 1, Per: time.Second}, "1"},
		{"0", ratelimit.Rate{}, "0"},
		{"0/5", ratelimit.Rate{}, "0"},
		{"0.0/s", ratelimit.Rate{}, "0"},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			got, err := ratelimit.ParseRate(c.text)
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, c.want)
			}
			if got.String() != c.again {
				t.Errorf("got text %q, want %q", got, c.again)
			}
			if back, err := ratelimit.ParseRate(got.String()); err != nil || back != got {
				t.Errorf("got %+v, %v when read again, want %+v", back, err, got)
			}
		})
	}
}

func TestParseRateRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "/", "/s", "x", "-1", "+1", "5/", "5/0", "5/x", "5/-1", "5/0.001", "2.5/2", "1e3", "0.0001", "5/s/s",
		"10001", "1/3601", "99999999999999999999", "0.001/s2", "NaN", "５",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := ratelimit.ParseRate(text)
			if bad, ok := errors.AsType[*ratelimit.RateError](err); !ok || bad.Text != text {
				t.Errorf("got %+v, %v, want a RateError with the text", got, err)
			}
		})
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"5", "5/2", "0.5/s", "2.5", "0", "", "1/0.5", "9999.999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ratelimit.ParseRate(s)
		if err != nil {
			return
		}
		if again, err := ratelimit.ParseRate(r.String()); err != nil || again != r {
			t.Errorf("got %+v, %v from %q, want %+v as from %q", again, err, r, r, s)
		}
	})
}
