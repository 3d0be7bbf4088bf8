//go:build race

// Package race tells tests whether the race detector watches: all takes some ten times
// as long then, and what no second goroutine touches need not be repeated as often.
package race

// Enabled reports whether it does.
const Enabled = true
