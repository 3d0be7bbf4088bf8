//go:build !race

package ratelimit_test

import "time"

// scheduleLength is of each random schedule.
const scheduleLength = 45 * time.Second
