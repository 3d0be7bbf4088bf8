package worker

import (
	"context"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// searchFor is how long a search is good for: purchases with the same search do
	// not list anew for each candidate that another one was faster to get.
	searchFor = time.Minute
	// searchMost is how many numbers of a search are looked at.
	searchMost = 200
)

// searches are the numbers for sale that this process has listed lately.
type searches struct {
	mu     sync.Mutex
	lists  map[flowroute.NumberSearch]*search
	picked map[flowroute.E164]pick
}

// search is one list; who makes it holds up those that want the same.
type search struct {
	mu      sync.Mutex
	at      time.Time
	numbers []flowroute.AvailableNumber
}

// pick is a candidate that a job of this process is about to claim; nobody's: one
// that is not for sale any more.
type pick struct {
	job ledger.ID
	at  time.Time
}

// list is a list made after the given moment, and when it was made.
func (s *searches) list(ctx context.Context, api *flowroute.Client, query flowroute.NumberSearch, after time.Time) ([]flowroute.AvailableNumber, time.Time, error) {
	one := s.of(query)
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.at.IsZero() && one.at.After(after) && time.Since(one.at) < searchFor {
		return one.numbers, one.at, nil
	}
	var numbers []flowroute.AvailableNumber
	for available, err := range api.AvailableNumbers(ctx, query) {
		if err != nil {
			return nil, time.Time{}, err
		}
		if numbers = append(numbers, available); len(numbers) == searchMost {
			break
		}
	}
	one.numbers, one.at = numbers, time.Now()
	return one.numbers, one.at, nil
}

func (s *searches) of(query flowroute.NumberSearch) *search {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lists == nil || len(s.lists) > 100 {
		s.lists = map[flowroute.NumberSearch]*search{}
	}
	if s.lists[query] == nil {
		s.lists[query] = &search{}
	}
	return s.lists[query]
}

// pick takes a candidate for a job, unless another job of this process has taken it
// in the last minute.
func (s *searches) pick(number flowroute.E164, job ledger.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, ok := s.picked[number]; ok && before.job != job && time.Since(before.at) < searchFor {
		return false
	}
	s.note(number, job)
	return true
}

// taken notes that a number of a list is not for sale any more.
func (s *searches) taken(number flowroute.E164) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(number, ledger.ID{})
}

func (s *searches) note(number flowroute.E164, job ledger.ID) {
	if s.picked == nil || len(s.picked) > 10_000 {
		s.picked = map[flowroute.E164]pick{}
	}
	s.picked[number] = pick{job, time.Now()}
}
