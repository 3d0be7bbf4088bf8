package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Why a sender is not verified.
var (
	errNobody  = errors.New("there is no fresh copy of the account's numbers, and nobody here who could ask Flowroute")
	errResting = errors.New("there was no answer of Flowroute a moment ago")
)

// ask asks Flowroute for numbers of which the copy says nothing that counts.
func (s *Senders) ask(ctx context.Context, list []flowroute.E164) map[flowroute.E164]string {
	wait := s.o.Wait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	refused := map[flowroute.E164]string{}
	found, open := 0, 0
	var first flowroute.E164
	var why error
	for _, n := range list {
		known, text, err := s.askOne(ctx, n)
		switch {
		case known:
			found++
		case text != "":
			refused[n] = text
		default:
			if open++; open == 1 {
				first, why = n, err
			}
			s.remember([]flowroute.E164{n}) // for as long it passes without another look
		}
	}
	s.observe(SenderFound, found)
	s.observe(SenderRefused, len(refused))
	s.observe(SenderUnverified, open)
	if open > 0 && s.mayTell() {
		s.log.WarnContext(ctx, "senders not verified, Flowroute decides", slog.Int("senders", open), slog.Any("from", first), slog.Any("err", why))
	}
	return refused
}

// mayTell keeps the log from telling the same again and again.
func (s *Senders) mayTell() bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.said) < s.o.KeepAnswer {
		return false
	}
	s.said = now
	return true
}

// askOne asks for one number, unless there is an answer already or somebody is asking.
// Neither known nor refused: nobody can tell, and why.
func (s *Senders) askOne(ctx context.Context, n flowroute.E164) (known bool, refused string, why error) {
	for {
		if s.o.LookUp == nil {
			return false, "", errNobody
		}
		s.mu.Lock()
		now := time.Now()
		held, answered := s.answers[n]
		other := s.asking[n]
		switch {
		case now.Before(s.known[n]):
			s.mu.Unlock()
			return true, "", nil
		case answered && now.Before(held.until):
			s.mu.Unlock()
			return false, held.refused, errResting
		case now.Before(s.rests):
			s.mu.Unlock()
			return false, "", errResting
		case other == nil:
			over := make(chan struct{})
			s.asking[n] = over
			s.mu.Unlock()
			return s.lookUp(ctx, n, over)
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return false, "", ctx.Err()
		}
	}
}

// lookUp asks Flowroute, and has its answer kept. When there is none, nobody asks for a
// while: each check would wait, one after the other.
func (s *Senders) lookUp(ctx context.Context, n flowroute.E164, over chan struct{}) (known bool, refused string, err error) {
	var d flowroute.NumberDetails
	at, err := s.store.clock(ctx)
	if err == nil {
		d, err = s.o.LookUp(ctx, n)
	}
	switch {
	case errors.Is(err, flowroute.ErrNotFound):
		refused, err = n.Masked()+" is not a number of the account, says Flowroute: send from one of its numbers (numbers list)", nil
	case err == nil && d.Number.Number != n:
		err = fmt.Errorf("asked for number %s, got %s", n.Masked(), d.Number.Number.Masked())
	case err == nil:
		known = true
		if _, err := s.store.put(context.WithoutCancel(ctx), []observation{detailsOf(d, at)}); err != nil {
			s.log.DebugContext(ctx, "number not stored", slog.Any("from", n), slog.Any("err", err))
		}
		s.remember([]flowroute.E164{n})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until := time.Now().Add(s.o.KeepAnswer)
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // nobody waits any more
	case err != nil:
		s.rests = until
	case refused != "":
		if len(s.answers) > mostSenders {
			clear(s.answers)
		}
		s.answers[n] = answer{refused, until}
	}
	delete(s.asking, n)
	close(over)
	return known, refused, err
}
