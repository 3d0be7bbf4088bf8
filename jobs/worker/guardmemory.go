package worker

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// memory is what a process did in the last minutes: attempts and their outcomes,
// jobs that it wrote down, the oldest first.
type memory struct {
	keep time.Duration
	most int

	mu      sync.Mutex
	entries []*memoryEntry
	open    map[string]*memoryEntry // by token
}

type memoryEntry struct {
	at      time.Time // of the last change
	beat    int64     // the process's beat that comes after it
	did     ledger.Memory
	outcome *ledger.Settlement
}

func newMemory(keep time.Duration, most int) *memory {
	return &memory{keep: keep, most: most, open: map[string]*memoryEntry{}}
}

func (m *memory) began(now time.Time, beat int64, did ledger.Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := &memoryEntry{at: now, beat: beat, did: did}
	m.entries = append(m.entries, entry)
	if token := did.Intent.Token; token != "" {
		m.open[token] = entry
	}
	// An attempt whose outcome is still to come is forgotten with the others: it ends
	// long before.
	drop := max(len(m.entries)-m.most, 0)
	for drop < len(m.entries) && now.Sub(m.entries[drop].at) > m.keep {
		drop++
	}
	for _, old := range m.entries[:drop] {
		delete(m.open, old.did.Intent.Token)
	}
	clear(m.entries[:drop]) // their jobs are freed before the list moves on
	m.entries = m.entries[drop:]
}

// settled keeps the last outcome of an attempt; nothing takes back that it was
// accepted.
func (m *memory) settled(now time.Time, beat int64, s ledger.Settlement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := m.open[s.Token]
	if s.Token == "" || entry == nil {
		return
	}
	entry.at, entry.beat = now, beat
	if entry.outcome == nil || entry.outcome.To != ledger.Accepted || s.To == ledger.Accepted {
		entry.outcome = &s
	}
}

// doubt is how many beats before the one that Redis has, things are written down
// again all the same: an outcome may have been long on its way.
const doubt = 30

// since is what was done after a beat, or shortly before, and what became of it.
func (m *memory) since(beat int64) (did []ledger.Memory, outcomes []ledger.Settlement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, entry := range m.entries {
		if entry.beat+doubt <= beat {
			continue
		}
		did = append(did, entry.did)
		if entry.outcome != nil {
			outcomes = append(outcomes, *entry.outcome)
		}
	}
	return did, outcomes
}

// settledAfter are the outcomes that became known after that moment.
func (m *memory) settledAfter(moment time.Time) (outcomes []ledger.Settlement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, entry := range m.entries {
		if entry.outcome != nil && entry.at.After(moment) {
			outcomes = append(outcomes, *entry.outcome)
		}
	}
	return outcomes
}

// isDown reports whether an error says that no Redis is serving there, as against one
// that cannot be reached from here.
func isDown(err error) bool {
	var answer redis.Error
	var lookup *net.DNSError
	return errors.As(err, &answer) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.As(err, &lookup) && lookup.IsNotFound
}
