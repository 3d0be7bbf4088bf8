//go:build race

package httpapi_test

// raceDetected: all takes some ten times as long.
const raceDetected = true
