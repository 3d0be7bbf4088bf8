package mdr_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// BenchmarkPut stores pages of 1000 records of a busy account (5 a second), as a
// first sync does, then 30% of them with another end. It reports what a record
// takes in Redis.
func BenchmarkPut(b *testing.B) {
	rdb, c := redistest.New(b).Client(), newClock()
	s, err := mdr.New(rdb, mdr.Options{Now: c.now})
	if err != nil {
		b.Fatal(err)
	}
	m, at := newMaker(77), c.now()
	before, stored := memory(b, rdb.Info(b.Context(), "memory").Val()), 0
	for b.Loop() {
		b.StopTimer()
		page := make([]flowroute.MDR, 1000)
		for i := range page {
			at = at.Add(-200 * time.Millisecond)
			page[i] = m.sent(at)
		}
		b.StartTimer()
		if _, err := s.Put(b.Context(), page); err != nil {
			b.Fatal(err)
		}
		changed := slices.Clone(page[:300])
		for i, r := range changed {
			changed[i] = delivered(r)
		}
		if _, err := s.Put(b.Context(), changed); err != nil {
			b.Fatal(err)
		}
		stored += len(page)
	}
	b.ReportMetric(float64(memory(b, rdb.Info(b.Context(), "memory").Val())-before)/float64(stored), "redisB/record")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(stored), "ns/record")
}

func memory(b *testing.B, info string) int {
	b.Helper()
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, "used_memory_dataset:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no used_memory_dataset")
	return 0
}

// benchCampaign makes a campaign whose rows were posted and have records.
func benchCampaign(b *testing.B, rdb redis.UniversalClient, s *mdr.Store, m maker, rows uint32) ledger.ID {
	b.Helper()
	led, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	from, err := flowroute.ParseE164("12065550100")
	if err != nil {
		b.Fatal(err)
	}
	campaign := ledger.NewCampaignID()
	for row := uint32(1); row <= rows; row++ {
		id, r := campaign.OfRow(row), m.sent(time.Now())
		_, err := led.Create(b.Context(), ledger.NewJob{ID: id, Type: ledger.SendMessage, Queue: ledger.QueueNormal, From: from, To: from, Payload: []byte("{}")})
		if err == nil {
			_, err = led.Begin(b.Context(), ledger.Intent{ID: id, Generation: 1, Token: "t", Account: "fr-test", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute})
		}
		if err == nil {
			_, err = led.Settle(b.Context(), ledger.Settlement{ID: id, Token: "t", To: ledger.Accepted, MDR: r.ID})
		}
		if err == nil {
			_, err = s.Put(b.Context(), []flowroute.MDR{r})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return campaign
}

// BenchmarkList reads pages of 100 of 10,000 records, by time, by number and of a campaign.
func BenchmarkList(b *testing.B) {
	rdb, c := redistest.New(b).Client(), newClock()
	s, err := mdr.New(rdb, mdr.Options{Now: c.now})
	if err != nil {
		b.Fatal(err)
	}
	m, at, number := newMaker(78), c.now(), ""
	for range 10 {
		page := make([]flowroute.MDR, 1000)
		for i := range page {
			at = at.Add(-200 * time.Millisecond)
			page[i] = m.sent(at)
		}
		number = page[999].To
		if _, err := s.Put(b.Context(), page); err != nil {
			b.Fatal(err)
		}
	}
	campaign := benchCampaign(b, rdb, s, m, 150)
	for name, q := range map[string]mdr.Query{
		"newest": {}, "hour ago": {Until: c.now().Add(-time.Hour)}, "number": {Number: number}, "campaign": {Campaign: campaign, CampaignRows: 150},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.List(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
