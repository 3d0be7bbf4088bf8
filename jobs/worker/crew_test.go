package worker

import (
	"errors"
	"sync"
	"testing"
)

// Calls run at once, each gets its own answer, a panic is its caller's, and goroutines
// are used again.
func TestCrew(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	defer close(over)
	c := newCrew(over)
	const calls = 8
	answers := make([]error, calls)
	var all, together sync.WaitGroup
	together.Add(calls)
	for i := range calls {
		answers[i] = errors.New("its own")
		all.Go(func() {
			got := c.run(func() error {
				together.Done()
				together.Wait() // none begins after another has ended
				return answers[i]
			})
			if !errors.Is(got, answers[i]) {
				t.Errorf("call %d: %v", i, got)
			}
		})
	}
	all.Wait()
	func() {
		defer func() {
			if got := recover(); got != "of the handler" {
				t.Errorf("recovered %v", got)
			}
		}()
		_ = c.run(func() error { panic("of the handler") })
	}()
	if err := c.run(func() error { return nil }); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}
