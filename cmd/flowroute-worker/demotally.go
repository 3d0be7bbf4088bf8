package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// tally follows the events and knows the state of each message.
type tally struct {
	mu      sync.Mutex
	states  map[ledger.ID]ledger.State   // of messages
	others  map[ledger.Type]ledger.State // of the latest job of each other type
	first   time.Time                    // of the first acceptance
	changed chan struct{}
}

func newTally() *tally {
	return &tally{states: map[ledger.ID]ledger.State{}, others: map[ledger.Type]ledger.State{}, changed: make(chan struct{})}
}

// follow reads the events from the beginning until ctx ends.
func (t *tally) follow(ctx context.Context, client *jobs.Client) {
	after := ""
	for ctx.Err() == nil {
		for event, err := range client.Events(ctx, after) {
			if err != nil {
				break
			}
			after = event.ID
			t.note(event)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func (t *tally) note(event ledger.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if event.Type != ledger.SendMessage {
		t.others[event.Type] = event.State
		return
	}
	t.states[event.Job] = event.State
	if event.State == ledger.Accepted && t.first.IsZero() {
		t.first = event.At
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait returns when ok holds, which is asked after each event.
func (t *tally) wait(ctx context.Context, ok func(*tally) bool) error {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		if ok(t) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// settled reports whether all of these jobs have ended, or wait for a person;
// receipts may still refine them.
func (t *tally) settled(ids []ledger.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if s := t.states[id]; !s.Final() && s != ledger.Review {
			return false
		}
	}
	return true
}

func (t *tally) count(ids []ledger.ID, state ledger.State) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, id := range ids {
		if t.states[id] == state {
			n++
		}
	}
	return n
}

// summary counts all messages by state, and says where the purchase and the route
// update are.
func (t *tally) summary() (counts map[ledger.State]int, purchase, route ledger.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts = map[ledger.State]int{}
	for _, s := range t.states {
		counts[s]++
	}
	return counts, t.others[ledger.PurchaseNumber], t.others[ledger.RouteUpdate]
}

// firstAccepted is when the first message was taken; zero: not yet.
func (t *tally) firstAccepted() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}

// progress shows how far things are: on a terminal one line that changes, else a
// line now and then.
type progress struct {
	out      io.Writer
	terminal bool
	width    int // of what stands there
}

func newProgress(out io.Writer) *progress { return &progress{out: out, terminal: onTerminal(out)} }

func (p *progress) every() time.Duration {
	if p.terminal {
		return 200 * time.Millisecond
	}
	return 5 * time.Second
}

func (p *progress) say(line string) {
	if !p.terminal {
		fmt.Fprintln(p.out, line)
		return
	}
	// A line that wraps cannot be written over.
	if most := columns(p.out) - 1; most > 0 && len(line) > most {
		line = line[:most]
	}
	fmt.Fprint(p.out, "\r"+line+strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// end leaves the last line standing.
func (p *progress) end() {
	if p.terminal && p.width > 0 {
		fmt.Fprintln(p.out)
	}
}

// show says how far things are until ctx ends.
func (p *play) show(ctx context.Context) {
	for {
		p.progress.say(p.line())
		if !pause(ctx, p.progress.every()) {
			p.progress.say(p.line())
			return
		}
	}
}

func (p *play) line() string {
	counts, purchase, route := p.tally.summary()
	var b strings.Builder
	done := 0
	for state, n := range counts {
		if state.Final() {
			done += n
		}
	}
	fmt.Fprintf(&b, "%3.0f s  %d of %d", time.Since(p.started).Seconds(), done, p.o.messages)
	for _, state := range ledger.States() {
		if n := counts[state]; n > 0 {
			fmt.Fprintf(&b, "  %s %d", state, n)
		}
	}
	if purchase != "" {
		fmt.Fprintf(&b, "  | number %s", purchase)
	}
	if route != "" {
		fmt.Fprintf(&b, "  route %s", route)
	}
	return b.String()
}
