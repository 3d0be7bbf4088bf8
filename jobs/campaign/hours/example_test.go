package hours_test

import (
	"fmt"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/hours"
)

func Example() {
	window, err := jobs.ParseSendingHours("08:00-21:00")
	if err != nil {
		fmt.Println(err)
		return
	}
	clock, err := hours.New(window, time.UTC)
	if err != nil {
		fmt.Println(err)
		return
	}
	inSeattle, err := flowroute.ParseE164("+12065550100")
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 3, 8, 9, 0, 0, 0, time.UTC) // 1 in the morning, an hour before clocks go forward
	opening, ok := clock.Next(now, inSeattle)
	fmt.Println(ok, opening.From, opening.Until)
	// Output: true 2026-03-08 15:00:00 +0000 UTC 2026-03-09 04:00:00 +0000 UTC
}
