package jobs

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// SendingHours is a part of the day, [Start, End) by the wall clock, in whole minutes
// since midnight. It lies within one day: a window over midnight is refused,
// since nobody means to text people through the night, and 21:00-08:00 is the
// window of every day read the wrong way round.
type SendingHours struct {
	Start, End time.Duration
}

// ErrSendingHours is what [ParseSendingHours] says about a window that is none.
var ErrSendingHours = errors.New("must be hours of one day such as 08:00-21:00, the first before the second (24:00 is the end of the day)")

// ParseSendingHours reads a window like "08:00-21:00"; "00:00-24:00" is always. Errors:
// [ErrSendingHours].
func ParseSendingHours(text string) (SendingHours, error) {
	from, to, _ := strings.Cut(text, "-")
	start, okStart := timeOfDay(from)
	end, okEnd := timeOfDay(to)
	w := SendingHours{Start: start, End: end}
	if !okStart || !okEnd {
		return SendingHours{}, ErrSendingHours
	}
	if err := w.Check(); err != nil {
		return SendingHours{}, err
	}
	return w, nil
}

// String is what [ParseSendingHours] reads.
func (w SendingHours) String() string {
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute) }
	return clock(w.Start) + "-" + clock(w.End)
}

// Check says whether they are hours of one day. Errors: [ErrSendingHours].
func (w SendingHours) Check() error {
	whole := w.Start%time.Minute == 0 && w.End%time.Minute == 0
	if w.Start < 0 || w.Start >= w.End || w.End > 24*time.Hour || !whole {
		return ErrSendingHours
	}
	return nil
}

func timeOfDay(text string) (time.Duration, bool) {
	if text == "24:00" {
		return 24 * time.Hour, true
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, false
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, true
}
