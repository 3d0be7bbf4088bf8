package ledger

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ID names a job. Its text form is a UUID.
type ID uuid.UUID

// The name spaces from which ids of jobs with a producer's key, and of plain
// asynq tasks, are derived. They must never change.
var (
	keySpace  = uuid.MustParse("5b0d2f5e-8c3d-4b7e-9a55-8f2d5a1c7e01")
	taskSpace = uuid.MustParse("5b0d2f5e-8c3d-4b7e-9a55-8f2d5a1c7e02")
)

// NewID draws an id for a job without a key (UUIDv7: it sorts by time). Draw it
// before the first try to create the job, so that repeating the try is safe.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// KeyID is the id of the job of that type with a producer's key. The same key is
// the same job.
func KeyID(t Type, key string) ID {
	return ID(uuid.NewSHA1(keySpace, []byte(string(t)+"\x00"+key)))
}

// TaskID is the id of the job made from another app's plain asynq task: the
// task's own id when that is a UUID (asynq's default), else one derived from it. It
// is never the zero id.
func TaskID(taskID string) ID {
	if len(taskID) == 36 {
		if u, err := uuid.Parse(taskID); err == nil && u != uuid.Nil {
			return ID(u)
		}
	}
	return ID(uuid.NewSHA1(taskSpace, []byte(taskID)))
}

// ParseID reads an id as people and programs write it. Errors: the text is no UUID.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, fmt.Errorf("job id %.60q: want a UUID like 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f", s)
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, fmt.Errorf("job id %q: want a UUID like 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f", s)
	}
	return ID(u), nil
}

// String is the id as a UUID.
func (id ID) String() string { return uuid.UUID(id).String() }

// IsZero reports whether no id was given.
func (id ID) IsZero() bool { return id == ID{} }

// Drawn is when a client drew the id for one call; the zero time for an id made of a
// producer's key or of a task, under which the same may be asked for again.
func (id ID) Drawn() time.Time {
	if uuid.UUID(id).Version() != 7 {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, id[:6]...))))
}

// MarshalText writes the id as a UUID.
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(b []byte) error {
	parsed, err := ParseID(string(b))
	if err == nil {
		*id = parsed
	}
	return err
}
