package events

import (
	"encoding/json"
	"fmt"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// batchSize keeps a body below 100 kB, which is what many servers take.
const batchSize = 200

// batch is the body of a post.
type batch struct {
	Version int    `json:"v"`
	Gap     *Gap   `json:"gap,omitempty"` // what is missing before the first event
	Events  []View `json:"events"`
}

// message is a batch as it is posted, again and again until it is taken.
type message struct {
	id   string
	body []byte
	last ID // where it ends
	size int
}

func newMessage(events []ledger.Event, gap *Gap) (message, error) {
	b := batch{Version: 1, Gap: gap, Events: make([]View, len(events))}
	for i, e := range events {
		b.Events[i] = ViewOf(e)
	}
	body, err := json.Marshal(b)
	first, final := events[0].ID, events[len(events)-1].ID
	last, ok := ParseID(final)
	if err == nil && !ok {
		err = fmt.Errorf("event with the id %.40q", final)
	}
	return message{id: first + "_" + final, body: body, last: last, size: len(events)}, err
}
