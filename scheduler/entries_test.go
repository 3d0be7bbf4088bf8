package scheduler_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/scheduler"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, spec, now, previous, next string }{
		{"five minutes", "*/5 * * * *", "2026-11-22T10:07:31Z", "2026-11-22T10:05:00Z", "2026-11-22T10:10:00Z"},
		{"at the tick itself", "*/5 * * * *", "2026-11-22T10:05:00Z", "2026-11-22T10:05:00Z", "2026-11-22T10:10:00Z"},
		{"a nanosecond before", "*/5 * * * *", "2026-11-22T10:04:59.999999999Z", "2026-11-22T10:00:00Z", "2026-11-22T10:05:00Z"},
		{"hourly at 17", "17 * * * *", "2026-11-22T00:03:00Z", "2026-11-21T23:17:00Z", "2026-11-22T00:17:00Z"},
		{"now in another zone", "30 6 * * *", "2026-11-22T08:00:00+05:00", "2026-11-21T06:30:00Z", "2026-11-22T06:30:00Z"},
		{"monthly", "0 0 1 * *", "2026-11-22T10:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"leap day", "0 0 29 2 *", "2026-11-22T10:00:00Z", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"descriptor", "@daily", "2026-11-22T10:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"every is anchored", "@every 10m", "2026-11-22T10:07:31Z", "2026-11-22T10:00:00Z", "2026-11-22T10:10:00Z"},
		{"every of a day", "@every 24h", "2026-11-22T10:07:31Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"zone in the spec", "CRON_TZ=America/New_York 0 6 * * *", "2026-11-22T10:59:00Z", "2026-11-21T11:00:00Z", "2026-11-22T11:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ticks, err := scheduler.ParseSpec(tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := ticks.Previous(at(t, tt.now)); !got.Equal(at(t, tt.previous)) || got.Location() != time.UTC {
				t.Errorf("previous: got %v, want %v", got, tt.previous)
			}
			if got := ticks.Next(at(t, tt.now)); !got.Equal(at(t, tt.next)) || got.Location() != time.UTC {
				t.Errorf("next: got %v, want %v", got, tt.next)
			}
		})
	}
}

// No tick lies between the previous and now, whatever the spec and the moment.
func TestPreviousIsTheLatest(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	start := at(t, "2026-01-01T00:00:00Z")
	for _, spec := range []string{"* * * * *", "*/7 * * * *", "17 */3 * * *", "0 9 * * 1-5", "0 0 1,15 * 1", "59 23 31 12 *", "@every 77s", "@weekly"} {
		ticks, err := scheduler.ParseSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			now := start.Add(time.Duration(random.Int64N(int64(400 * 24 * time.Hour))))
			previous := ticks.Previous(now)
			if previous.IsZero() || previous.After(now) || !ticks.Next(previous).After(now) {
				t.Fatalf("%s at %v: got previous %v, whose next is %v", spec, now, previous, ticks.Next(previous))
			}
		}
	}
}

func TestParseSpecRefuses(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"", "* * * *", "* * * * * *", "61 * * * *", "@sometimes", "@every", "@every -5m", "@every soon", "0 0 30 2 *", "CRON_TZ=Nowhere/Atall * * * * *", "\x00"} {
		ticks, err := scheduler.ParseSpec(spec)
		if err == nil {
			t.Errorf("%q: got ticks, next %v; want an error", spec, ticks.Next(time.Now()))
		}
	}
}
