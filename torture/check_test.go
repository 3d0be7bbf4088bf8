package torture_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/torture"
)

// scene is evidence in the making: one that shows nothing wrong to begin with.
type scene struct{ torture.Evidence }

func newScene() *scene {
	s := &scene{torture.Evidence{Jobs: map[string]ledger.Job{}, Owners: map[string]string{}, Buyers: map[string]string{}}}
	s.Truth.Numbers = map[string]flowroutetest.NumberTruth{}
	s.message("1", "Hello", ledger.Delivered).took("Hello", "mdr2-1")
	s.message("2", "Twin", ledger.Accepted).message("3", "Twin", ledger.Accepted).took("Twin", "mdr2-2").took("Twin", "mdr2-3")
	s.message("4", "Nobody knows", ledger.Review)
	s.message("5", "Stopped", ledger.Cancelled)
	s.purchase("6", "1206557001", "12065570011", ledger.Done).sold("12065570011", "6")
	s.purchase("7", "1206557002", "", ledger.Failed)
	s.update("8", "100", ledger.Done).update("9", "101", ledger.Done).set("100").set("101")
	return s
}

func (s *scene) ask(a torture.Asked, state ledger.State, job ledger.Job) *scene {
	a.At, a.Tried = time.Now(), true
	job.State = state
	s.Asked, s.Jobs[a.ID] = append(s.Asked, a), job
	return s
}

func (s *scene) message(id, body string, state ledger.State) *scene {
	m := &jobs.Message{From: "+12065550100", To: "+12125550123", Body: body, Key: "key " + id}
	return s.ask(torture.Asked{Item: torture.Item{Message: m}, ID: id}, state, ledger.Job{Type: ledger.SendMessage})
}

func (s *scene) took(body, record string) *scene {
	s.Truth.Messages = append(s.Truth.Messages, flowroutetest.AcceptedMessage{From: "12065550100", To: "12125550123", Body: body, MDRIDs: []string{record}})
	return s
}

func (s *scene) purchase(id, block, number string, state ledger.State) *scene {
	p := &jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: block}, Key: "buy " + id}
	job := ledger.Job{Type: ledger.PurchaseNumber, Progress: []byte(`{"number":"` + number + `"}`)}
	return s.ask(torture.Asked{Item: torture.Item{Purchase: p, Block: block}, ID: id}, state, job)
}

func (s *scene) sold(number, owner string) *scene {
	s.Truth.Purchases = append(s.Truth.Purchases, flowroutetest.Purchase{Number: number})
	s.Buyers[number] = owner
	return s
}

const updated = "12065550101"

func (s *scene) update(id, route string, state ledger.State) *scene {
	u := &jobs.RouteUpdate{Number: "+" + updated, Primary: &jobs.RouteSpec{ID: route}, Key: "route " + id}
	return s.ask(torture.Asked{Item: torture.Item{Update: u}, ID: id}, state, ledger.Job{Type: ledger.RouteUpdate})
}

func (s *scene) set(route string) *scene {
	n := s.Truth.Numbers[updated]
	n.RouteSets = append(n.RouteSets, flowroutetest.RouteSet{Slot: "primary_route", Route: route})
	s.Truth.Numbers[updated] = n
	return s
}

func (s *scene) change(id string, do func(*ledger.Job)) {
	job := s.Jobs[id]
	do(&job)
	s.Jobs[id] = job
}

func (s *scene) drop(id string) { delete(s.Jobs, id) }

func (s *scene) asked(id string, do func(*torture.Asked)) {
	for i := range s.Asked {
		if s.Asked[i].ID == id {
			do(&s.Asked[i])
		}
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	type counts struct{ lost, duplicated, bought, wrong, stuck, gone, before int }
	for name, tc := range map[string]struct {
		spoil func(*scene)
		want  counts
	}{
		"nothing":                {func(*scene) {}, counts{}},
		"sent twice":             {func(s *scene) { s.took("Hello", "mdr2-9") }, counts{duplicated: 1}},
		"twins sent three times": {func(s *scene) { s.took("Twin", "mdr2-9") }, counts{duplicated: 1}},
		"in review, sent once":   {func(s *scene) { s.took("Nobody knows", "mdr2-9") }, counts{}},
		"in review, sent twice":  {func(s *scene) { s.took("Nobody knows", "mdr2-9").took("Nobody knows", "mdr2-8") }, counts{duplicated: 1}},
		"nobody asked for it":    {func(s *scene) { s.took("Who is this?", "mdr2-9") }, counts{duplicated: 1}},
		"said to be accepted":    {func(s *scene) { s.message("10", "Never came", ledger.Accepted) }, counts{lost: 1}},
		"one of two twins":       {func(s *scene) { s.Truth.Messages = s.Truth.Messages[:2] }, counts{lost: 1}},
		"not in the ledger":      {func(s *scene) { s.message("10", "Gone", ledger.Queued).drop("10") }, counts{lost: 1}},
		"cancelled and sent":     {func(s *scene) { s.took("Stopped", "mdr2-9") }, counts{wrong: 1}},
		"another's record":       {func(s *scene) { s.change("1", func(j *ledger.Job) { j.MDRs = []string{"mdr2-2"} }) }, counts{wrong: 1}},
		"a record claimed by another": {func(s *scene) {
			s.change("1", func(j *ledger.Job) { j.MDRs = []string{"mdr2-1"} })
			s.Owners["mdr2-1"] = "2"
		}, counts{wrong: 1}},
		"never ended":              {func(s *scene) { s.message("10", "Waits", ledger.Queued) }, counts{stuck: 1}},
		"unknown for ever":         {func(s *scene) { s.message("10", "Waits", ledger.Unknown) }, counts{stuck: 1}},
		"a job bought two":         {func(s *scene) { s.sold("12065570012", "6") }, counts{bought: 1}},
		"a number was sold twice":  {func(s *scene) { s.sold("12065570011", "6") }, counts{bought: 1}},
		"failed, and bought":       {func(s *scene) { s.sold("12065570021", "7") }, counts{wrong: 1}},
		"done, and not bought":     {func(s *scene) { s.purchase("10", "1206557003", "12065570031", ledger.Done) }, counts{lost: 1}},
		"done with another number": {func(s *scene) { s.change("6", func(j *ledger.Job) { j.Progress = []byte(`{"number":"12065570012"}`) }) }, counts{lost: 1, wrong: 1}},
		"bought, and nobody's":     {func(s *scene) { delete(s.Buyers, "12065570011") }, counts{wrong: 1}},
		"an older route holds":     {func(s *scene) { s.set("100") }, counts{wrong: 2}}, // it went back, and stays there
		"done, and not set":        {func(s *scene) { s.update("10", "102", ledger.Done) }, counts{wrong: 1}},
		"set, and with a person":   {func(s *scene) { s.update("10", "102", ledger.Review).set("102") }, counts{}},
		"a route made twice": {func(s *scene) {
			s.Truth.Routes = []flowroutetest.Route{{ID: "5", Value: "made1.example.com"}, {ID: "6", Value: "made1.example.com"}}
		}, counts{wrong: 1}},
		"no key, and Redis lost it unsent": {func(s *scene) { s.exposed() }, counts{gone: 1}},
		"no key, and Redis lost it sent":   {func(s *scene) { s.exposed().took("No key", "mdr2-9") }, counts{}},
		"no key, and sent twice":           {func(s *scene) { s.exposed().took("No key", "mdr2-9").took("No key", "mdr2-8") }, counts{duplicated: 1}},
		"bought before Redis lost it":      {func(s *scene) { s.before() }, counts{before: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			tc.spoil(s)
			v := torture.Check(s.Evidence)
			got := counts{v.Lost, v.Duplicated, v.BoughtTwice, v.WrongState, v.Stuck, v.GoneWithRedis, v.BoughtBefore}
			if got != tc.want {
				t.Errorf("got %+v, want %+v: %v", got, tc.want, v.Findings)
			}
			wrong := tc.want
			wrong.gone, wrong.before = 0, 0
			if v.Passed() != (wrong == counts{}) {
				t.Errorf("passed: %v", v.Passed())
			}
		})
	}
}

// exposed is a message without a key whose job Redis has lost.
func (s *scene) exposed() *scene {
	s.message("10", "No key", ledger.Queued).drop("10")
	s.asked("10", func(a *torture.Asked) { a.Message.Key, a.Exposed = "", true })
	return s
}

// before is a purchase that was made, lost by Redis and asked for again.
func (s *scene) before() {
	s.RolledBack = true
	s.sold("12065570021", "")
	s.change("7", func(j *ledger.Job) { j.Reason = ledger.ReasonAlreadyOwned })
}
