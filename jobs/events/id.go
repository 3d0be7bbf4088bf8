package events

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// ID is the place of a change in the stream: its time by Redis' clock, and a number
// within that millisecond. The zero ID comes before all changes.
type ID struct{ ms, n uint64 }

// ParseID reads an id in the form ms-n; n may be missing and is then 0.
func ParseID(text string) (ID, bool) {
	left, right, found := strings.Cut(text, "-")
	if !found {
		right = "0"
	}
	ms, errMs := strconv.ParseUint(left, 10, 64)
	n, errN := strconv.ParseUint(right, 10, 64)
	return ID{ms, n}, errMs == nil && errN == nil
}

// String writes ms-n.
func (id ID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.n, 10)
}

// Compare returns a negative number when the change came before the other one.
func (id ID) Compare(other ID) int {
	return cmp.Or(cmp.Compare(id.ms, other.ms), cmp.Compare(id.n, other.n))
}

// IsZero reports whether the place is before all changes.
func (id ID) IsZero() bool { return id == ID{} }

// Time is when the change happened.
func (id ID) Time() time.Time { return time.UnixMilli(int64(id.ms)) }
