package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
)

// recorder is a part that notes when it starts and ends.
type recorder struct {
	mu    sync.Mutex
	notes []string
}

func (r *recorder) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, what)
}

func (r *recorder) part(name string, started chan<- struct{}) part {
	return part{name, func(ctx context.Context) error {
		started <- struct{}{}
		<-ctx.Done()
		r.note("end " + name)
		return nil
	}}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestStagesStopInOrder(t *testing.T) {
	t.Parallel()
	var r recorder
	started := make(chan struct{}, 4)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	all := stages{{r.part("intake", started)}, {}, {r.part("worker", started)}, {r.part("limiter", started)}}
	go func() { ended <- all.run(ctx, quiet()) }()
	for range 3 {
		<-started
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if want := []string{"end intake", "end worker", "end limiter"}; !slices.Equal(r.notes, want) {
		t.Errorf("got %v, want %v", r.notes, want)
	}
}

var errBroken = errors.New("broken")

func TestStagesEndTogether(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]func(context.Context) error{
		"with an error":    func(context.Context) error { return errBroken },
		"without an error": func(context.Context) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			started := make(chan struct{}, 4)
			all := stages{{r.part("intake", started)}, {{"worker", func(ctx context.Context) error { <-started; return failing(ctx) }}}, {r.part("limiter", started)}}
			err := all.run(t.Context(), quiet())
			if err == nil || name == "with an error" && !errors.Is(err, errBroken) {
				t.Errorf("got %v, want an error of the part", err)
			}
			if want := []string{"end intake", "end limiter"}; !slices.Equal(r.notes, want) {
				t.Errorf("got %v, want %v", r.notes, want)
			}
		})
	}
}

func TestStagesReportFailureWhileStopping(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	err := stages{{{"worker", func(ctx context.Context) error { <-ctx.Done(); return errBroken }}}}.run(ctx, quiet())
	if !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the failure", err)
	}
}
