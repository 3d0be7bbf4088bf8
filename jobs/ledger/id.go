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
	// of campaigns
	campaignSpace = uuid.MustParse("5b0d2f5e-8c3d-4b7e-9a55-8f2d5a1c7e03")
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

// A campaign's id is a UUID of version 8 whose last four bytes are zero, and each row's
// job has that id with the number of the row there: who has one has the other, and
// creating a row's job again is the same job.

// NewCampaignID draws a campaign's id.
func NewCampaignID() ID { return campaignID(ID(uuid.New())) }

// CampaignID is the id of the campaign with a producer's key, or of that content.
func CampaignID(key string) ID { return campaignID(ID(uuid.NewSHA1(campaignSpace, []byte(key)))) }

func campaignID(id ID) ID {
	id[6] = 0x80 | id[6]&0x0f
	binary.BigEndian.PutUint32(id[12:], 0)
	return id
}

// OfRow is the id of the job of a campaign's row, counted from 1.
func (id ID) OfRow(row uint32) ID {
	binary.BigEndian.PutUint32(id[12:], row)
	return id
}

// Row is the campaign and the row that a job's id is of; false for other jobs. An asynq
// task of another app may have an id of this form too, of a campaign that does not exist.
func (id ID) Row() (campaign ID, row uint32, ok bool) {
	if id[6]>>4 != 8 {
		return ID{}, 0, false
	}
	return id.OfRow(0), binary.BigEndian.Uint32(id[12:]), true
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
