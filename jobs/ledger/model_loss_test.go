package ledger_test

// snapshot is the whole database at some moment.
type snapshot struct{}

type modelFence struct{}

func losses() []step { return nil }

func (w *world) restoreTrust() {}
