//go:build race

package ratelimit_test

import "time"

// scheduleLength is of each random schedule: all takes some ten times as long here.
const scheduleLength = 15 * time.Second
