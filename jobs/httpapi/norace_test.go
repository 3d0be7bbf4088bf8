//go:build !race

package httpapi_test

const raceDetected = false
