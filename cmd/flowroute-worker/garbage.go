package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcPercent lets garbage grow to three times what is in use: that is little here, and
	// collecting it is a tenth of what a message costs.
	gcPercent = 300
	// gcHeap is how much that may make in all. Above it, garbage grows to as much as is in
	// use, as it does by Go's own default.
	gcHeap, gcLeast = 80 << 20, 100
)

// tuneGarbage sets how far garbage may grow, after each collection anew.
func tuneGarbage() {
	debug.SetGCPercent(gcPercent)
	live, percent := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, gcPercent
	var collected func(*[16]byte)
	collected = func(sentinel *[16]byte) {
		metrics.Read(live)
		if want := percentFor(live[0].Value.Uint64()); want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(sentinel, collected) // once more after the next one
	}
	runtime.SetFinalizer(new([16]byte), collected)
}

// percentFor is how much garbage there may be beside so many bytes that are in use.
func percentFor(live uint64) int {
	most := (gcHeap/max(float64(live), 1) - 1) * 100
	return int(min(max(most, gcLeast), gcPercent))
}
