package hours_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"github.com/nyaruka/phonenumbers"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/hours"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func newClock(t testing.TB, window string) *hours.Clock {
	t.Helper()
	w, err := jobs.ParseSendingHours(window)
	if err != nil {
		t.Fatal(err)
	}
	clock, err := hours.New(w, zone(t, "America/New_York"))
	if err != nil {
		t.Fatal(err)
	}
	return clock
}

func number(t testing.TB, text string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// at reads the times of the tables: UTC, with seconds where they matter.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	layout := "2006-01-02 15:04:05"
	parsed, err := time.Parse(layout[:len(text)], text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

const (
	seattle      = "+12065550100"
	newYork      = "+12125550100"
	phoenix      = "+16025550100"
	tollFree     = "+18003569377"
	british      = "+447911123456"
	delhi        = "+911123456789"
	alaska       = "+19075550100" // Anchorage; Adak, an hour behind, is possible
	satellite    = "+883510000000094"
	newfoundland = "+17097220100" // half an hour off the others
)

func TestNext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, window, number, now, from, until string
	}{
		{"in the window", "08:00-21:00", seattle, "2026-01-15 20:00", "2026-01-15 20:00", "2026-01-16 05:00"},
		{"before it", "08:00-21:00", seattle, "2026-01-15 13:00", "2026-01-15 16:00", "2026-01-16 05:00"},
		{"as it opens", "08:00-21:00", seattle, "2026-01-15 16:00", "2026-01-15 16:00", "2026-01-16 05:00"},
		{"a second before", "08:00-21:00", seattle, "2026-01-15 15:59:59", "2026-01-15 16:00", "2026-01-16 05:00"},
		{"in its last second", "08:00-21:00", seattle, "2026-01-16 04:59:59", "2026-01-16 04:59:59", "2026-01-16 05:00"},
		{"as it closes", "08:00-21:00", seattle, "2026-01-16 05:00", "2026-01-16 16:00", "2026-01-17 05:00"},
		{"in another zone", "08:00-21:00", newYork, "2026-01-15 13:00", "2026-01-15 13:00", "2026-01-16 02:00"},
		{"half an hour off", "08:00-21:00", newfoundland, "2026-01-15 11:00", "2026-01-15 11:30", "2026-01-16 00:30"},
		{"ahead of UTC", "08:00-21:00", delhi, "2026-01-15 20:00", "2026-01-16 02:30", "2026-01-16 15:30"},
		{"three zones of one clock", "08:00-21:00", british, "2026-01-15 07:00", "2026-01-15 08:00", "2026-01-15 21:00"},
		{"toll-free goes by the fallback", "08:00-21:00", tollFree, "2026-01-15 12:00", "2026-01-15 13:00", "2026-01-16 02:00"},
		{"nowhere goes by the fallback", "08:00-21:00", satellite, "2026-01-15 12:00", "2026-01-15 13:00", "2026-01-16 02:00"},
		{"the strictest of two: opens with the later", "08:00-21:00", alaska, "2026-01-15 17:00", "2026-01-15 18:00", "2026-01-16 06:00"},
		{"the strictest of two: closes with the earlier", "08:00-21:00", alaska, "2026-01-16 06:00", "2026-01-16 18:00", "2026-01-17 06:00"},

		{"the day clocks go forward", "08:00-21:00", seattle, "2026-03-08 10:30", "2026-03-08 15:00", "2026-03-09 04:00"},
		{"the evening before", "08:00-21:00", seattle, "2026-03-08 05:00", "2026-03-08 15:00", "2026-03-09 04:00"},
		{"no change in Arizona", "08:00-21:00", phoenix, "2026-03-08 10:30", "2026-03-08 15:00", "2026-03-09 04:00"},
		{"nor a day before", "08:00-21:00", phoenix, "2026-03-07 10:30", "2026-03-07 15:00", "2026-03-08 04:00"},
		{"the day clocks go back", "08:00-21:00", seattle, "2026-11-01 07:30", "2026-11-01 16:00", "2026-11-02 05:00"},
		{"as clocks go forward within the window", "01:00-04:00", seattle, "2026-03-08 08:00", "2026-03-08 09:00", "2026-03-08 11:00"},
		{"beginning in the hour that is skipped", "02:30-04:00", seattle, "2026-03-08 08:00", "2026-03-08 10:00", "2026-03-08 11:00"},
		{"ending in it", "01:00-02:30", seattle, "2026-03-08 08:00", "2026-03-08 09:00", "2026-03-08 10:00"},
		{"within it: not that day", "02:15-02:45", seattle, "2026-03-08 08:00", "2026-03-09 09:15", "2026-03-09 09:45"},
		{"as clocks go back within the window", "00:30-03:00", seattle, "2026-11-01 07:00", "2026-11-01 07:30", "2026-11-01 11:00"},
		{"beginning in the hour that comes twice", "01:30-03:00", seattle, "2026-11-01 08:00", "2026-11-01 08:30", "2026-11-01 09:00"},
		{"and its second time", "01:30-03:00", seattle, "2026-11-01 09:00", "2026-11-01 09:30", "2026-11-01 11:00"},
		{"ending in it", "00:00-01:30", seattle, "2026-11-01 07:00", "2026-11-01 07:00", "2026-11-01 08:30"},
		{"and its second time, ending", "00:00-01:30", seattle, "2026-11-01 08:30", "2026-11-01 09:00", "2026-11-01 09:30"},
		{"up to midnight as they go forward", "20:00-24:00", seattle, "2026-03-08 05:00", "2026-03-08 05:00", "2026-03-08 08:00"},
		{"only when two zones are nearer", "08:00-09:00", alaska, "2026-01-15 17:00", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checkNext(t, newClock(t, test.window), number(t, test.number), at(t, test.now), test.from, test.until)
		})
	}
}

func checkNext(t *testing.T, clock *hours.Clock, to flowroute.E164, now time.Time, from, until string) {
	t.Helper()
	got, ok := clock.Next(now, to)
	if from == "" {
		if ok {
			t.Errorf("at %v: got %v, want none", now, got)
		}
		return
	}
	want := hours.Opening{From: at(t, from), Until: at(t, until)}
	if !ok || got != want {
		t.Errorf("at %v:\ngot  %v, %v\nwant %v", now, got, ok, want)
	}
}

// A clock keeps what it found; so the answers must not depend on what was asked
// before, nor on its order.
func TestNextRemembers(t *testing.T) {
	t.Parallel()
	clock, to := newClock(t, "08:00-21:00"), number(t, seattle)
	for _, step := range []struct{ now, from, until string }{
		{"2026-01-15 13:00", "2026-01-15 16:00", "2026-01-16 05:00"},
		{"2026-01-15 14:00", "2026-01-15 16:00", "2026-01-16 05:00"},
		{"2026-01-15 17:00", "2026-01-15 17:00", "2026-01-16 05:00"},
		{"2026-01-15 14:00", "2026-01-15 16:00", "2026-01-16 05:00"},
		{"2026-01-16 05:00", "2026-01-16 16:00", "2026-01-17 05:00"},
		{"2026-01-14 12:00", "2026-01-14 16:00", "2026-01-15 05:00"},
		{"2026-07-01 12:00", "2026-07-01 15:00", "2026-07-02 04:00"},
	} {
		checkNext(t, clock, to, at(t, step.now), step.from, step.until)
	}
}

func TestNextKeepsFractions(t *testing.T) {
	t.Parallel()
	clock := newClock(t, "08:00-21:00")
	for range 2 { // found anew, and remembered
		now := at(t, "2026-01-16 04:59:59").Add(999 * time.Millisecond)
		got, ok := clock.Next(now, number(t, seattle))
		if !ok || !got.From.Equal(now) || !got.Contains(now) || got.Contains(got.Until) || got.Contains(now.Add(-1)) {
			t.Errorf("got %v, %v, want one from %v", got, ok, now)
		}
	}
}

func TestAlways(t *testing.T) {
	t.Parallel()
	clock, now := newClock(t, "00:00-24:00"), at(t, "2026-01-15 13:00")
	got, ok := clock.Next(now, number(t, seattle))
	if !ok || !got.From.Equal(now) || got.Until.Before(now.Add(hours.Horizon)) || got.Until.After(now.Add(hours.Horizon+24*time.Hour)) {
		t.Errorf("got %v, %v", got, ok)
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	clock := newClock(t, "08:00-21:00")
	for _, test := range []struct{ number, want string }{
		{seattle, "America/Los_Angeles"},
		{newfoundland, "America/St_Johns"},
		{alaska, "America/Adak America/Anchorage"},
		{tollFree, "America/New_York"},
		{"+18885550100", "America/New_York"},
		{british, "Europe/Guernsey Europe/Isle_of_Man Europe/London"},
		{"+61812345678", "America/New_York"}, // eight are possible
		{satellite, "America/New_York"},
	} {
		if got := names(clock.Zones(number(t, test.number))); got != test.want {
			t.Errorf("%s: got %s, want %s", test.number, got, test.want)
		}
	}
}

func names(locations []*time.Location) string {
	var list []string
	for _, location := range locations {
		list = append(list, location.String())
	}
	return strings.Join(list, " ")
}

// The prefixes that zones are remembered by must be as long as libphonenumber
// looks at, and its zones must be there to load: both may change with its data.
func TestZonesAreThoseOfTheWholeNumber(t *testing.T) {
	t.Parallel()
	clock := newClock(t, "08:00-21:00")
	draw := rand.New(rand.NewPCG(1, 2))
	check := func(n uint64) {
		digits := strconv.FormatUint(n, 10)
		want, err := phonenumbers.GetTimezonesForPrefix(digits)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) > hours.MaxZones || slices.Contains(want, phonenumbers.UNKNOWN_TIMEZONE) {
			want = []string{"America/New_York"}
		}
		e164, err := flowroute.E164FromUint64(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(clock.Zones(e164)); got != strings.Join(want, " ") {
			t.Fatalf("+%s: got %s, want %s", digits, got, strings.Join(want, " "))
		}
	}
	for prefix := uint64(1_200_000); prefix < 2_000_000; prefix += 1 + draw.Uint64N(8) {
		check(prefix*10_000 + draw.Uint64N(10_000))
	}
	for range 300_000 {
		check(uint64(20_000_000) + draw.Uint64N(1e12)>>draw.IntN(12))
	}
}

// By definition: a moment is allowed when all clocks show a time in the window.
func TestNextByItsDefinition(t *testing.T) {
	t.Parallel()
	draw := rand.New(rand.NewPCG(3, 4))
	numbers := []string{seattle, newYork, phoenix, alaska, newfoundland, british, delhi, "+61255550100", "+56221234567", "+4530123456", "+212520123456"}
	for range 300 {
		start := draw.IntN(24 * 60)
		window := jobs.SendingHours{Start: time.Duration(start) * time.Minute, End: time.Duration(start+1+draw.IntN(24*60-start)) * time.Minute}
		clock, err := hours.New(window, zone(t, "America/New_York"))
		if err != nil {
			t.Fatal(err)
		}
		to := number(t, numbers[draw.IntN(len(numbers))])
		allowed := func(moment time.Time) bool {
			for _, location := range clock.Zones(to) {
				hour, minute, second := moment.In(location).Clock()
				shown := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
				if shown < window.Start || shown >= window.End {
					return false
				}
			}
			return true
		}
		// Around the changes of clocks, more often than not.
		base := []string{"2026-03-08 09:00", "2026-11-01 07:00", "2026-03-29 01:00", "2026-10-25 01:00", "2026-04-04 15:00", "2026-06-15 12:00"}[draw.IntN(6)]
		now := at(t, base).Add(time.Duration(draw.IntN(36*60)-18*60) * time.Minute)
		got, ok := clock.Next(now, to)
		if err := compare(now, got, ok, allowed); err != nil {
			t.Fatalf("%v, %s at %v: %v", window, to, now, err)
		}
	}
}

// compare walks minute by minute; all changes of the table fall on whole ones.
func compare(now time.Time, got hours.Opening, ok bool, allowed func(time.Time) bool) error {
	from := now
	for !allowed(from) {
		if from = from.Add(time.Minute); from.Sub(now) > 72*time.Hour {
			if ok && got.From.Before(from) {
				return fmt.Errorf("got %v, want none in three days", got)
			}
			return nil
		}
	}
	until := from
	for allowed(until) {
		if until = until.Add(time.Minute); until.Sub(from) > 72*time.Hour {
			until = got.Until // a window of the whole day
			break
		}
	}
	if want := (hours.Opening{From: from, Until: until}); !ok || got != want {
		return fmt.Errorf("got %v, %v, want %v", got, ok, want)
	}
	return nil
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	clock, now := newClock(t, "08:00-21:00"), at(t, "2026-01-15 13:00")
	want := at(t, "2026-01-15 16:00")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range uint64(2000) {
				n, err := flowroute.E164FromUint64(1_206_000_0000 + i%1000*1_0000)
				if err != nil {
					t.Error(err)
				}
				if got, ok := clock.Next(now.Add(time.Duration(i%7)*time.Second), n); !ok || !got.From.Equal(want) {
					t.Errorf("%v: got %v, %v, want from %v", n, got, ok, want)
				}
			}
		})
	}
	group.Wait()
}

func TestParseWindow(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"08:00-21:00", "00:00-24:00", "23:59-24:00", "00:00-00:01"} {
		window, err := jobs.ParseSendingHours(text)
		if err != nil || window.String() != text {
			t.Errorf("%s: got %v, %v", text, window, err)
		}
	}
	for _, text := range []string{"", "08:00", "08:00-", "-21:00", "8:00-21:00", "21:00-08:00", "08:00-08:00", "08:00-24:01", "24:00-24:00", "08:00 - 21:00", "08:00-21:00-22:00", "08:60-21:00"} {
		if window, err := jobs.ParseSendingHours(text); !errors.Is(err, jobs.ErrSendingHours) {
			t.Errorf("%q: got %v, %v", text, window, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, window := range []jobs.SendingHours{{}, {Start: -time.Hour, End: time.Hour}, {Start: 1, End: time.Hour}, {End: 25 * time.Hour}} {
		if _, err := hours.New(window, time.UTC); !errors.Is(err, jobs.ErrSendingHours) {
			t.Errorf("%v: got %v", window, err)
		}
	}
	if _, err := hours.New(jobs.SendingHours{End: time.Hour}, nil); err == nil {
		t.Error("got no error without a fallback")
	}
}

// A million rows: nearly every number has another prefix than the one before.
func BenchmarkNext(b *testing.B) {
	clock, now := newClock(b, "08:00-21:00"), at(b, "2026-01-15 13:00")
	draw := rand.New(rand.NewPCG(5, 6))
	numbers := make([]flowroute.E164, 0, 1_000_000)
	for len(numbers) < cap(numbers) {
		if n, err := flowroute.ParseE164(strconv.FormatUint(2_000_000_000+draw.Uint64N(8_000_000_000), 10)); err == nil {
			numbers = append(numbers, n)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := clock.Next(now, numbers[i%len(numbers)]); !ok {
			b.Fatal("no opening")
		}
		i++
	}
}
