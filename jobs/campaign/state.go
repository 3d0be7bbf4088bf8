package campaign

// State says where a campaign is. The words are the same in the commands, in the HTTP API
// and in the console.
type State string

// The states of a campaign.
const (
	Draft     State = "draft"     // recipients may be added
	Scheduled State = "scheduled" // it begins at its start time
	Running   State = "running"
	Paused    State = "paused" // by a person, or by its brake
	Done      State = "done"   // every row has its outcome, or the end time has passed
	Cancelled State = "cancelled"
	Failed    State = "failed" // nobody finished its upload within 24 hours
)

// stateLetters pairs each state, in the order of a campaign's life, with its letter in
// Redis.
var stateLetters = [...]struct {
	state  State
	letter string
}{{Draft, "d"}, {Scheduled, "s"}, {Running, "r"}, {Paused, "p"}, {Done, "o"}, {Cancelled, "c"}, {Failed, "f"}}

// States lists every state in the order of a campaign's life.
func States() []State {
	states := make([]State, len(stateLetters))
	for i, pair := range stateLetters {
		states[i] = pair.state
	}
	return states
}

// Over reports whether nothing of it is posted any more.
func (s State) Over() bool { return s == Done || s == Cancelled || s == Failed }

func stateOf(letter string) State {
	for _, pair := range stateLetters {
		if pair.letter == letter {
			return pair.state
		}
	}
	return State("state-" + letter)
}
